"""u → y of one diagonal time-invariant system per channel, each with its own states."""

from keras import ops

from keras_lru.checks import check_shape
from keras_lru.ops import complex as cx
from keras_lru.ops.algorithm import resolve_channelwise_block_size, resolve_scan
from keras_lru.ops.backend import static_size
from keras_lru.ops.block_form import BlockSystem
from keras_lru.ops.dtypes import check_floating
from keras_lru.ops.projection import feed_through


def channelwise_ssm(
    inputs,
    log_modulus,
    angle,
    B,
    C,
    D,
    initial_state=None,
    lengths=None,
    return_sequences=True,
    scan="auto",
    block_size="auto",
):
    """Outputs and last state of `H` systems of one input, `n` states and one output.

    As `diagonal_ssm` would for a block-diagonal `B` and `C`, at the cost of the blocks.
    The states of all channels are one vector, channel by channel.

    Args:
        inputs: `u`, `(batch, time, H)`, floating.
        log_modulus: `log|λ|`, `(H · n,)`.
        angle: `arg λ` in radians, `(H · n,)`.
        B: Pair (real, imag) of `(H · n,)`.
        C: Pair (real, imag) of `(H, n)`.
        D: Vector `(H,)`, or `None`.
        initial_state: Pair of `(batch, H · n)`; `None` means zeros.
        lengths: As for `diagonal_ssm`.
        return_sequences: As for `diagonal_ssm`.
        scan: As for `diagonal_ssm`.
        block_size: As for `diagonal_ssm`.

    Returns:
        `(outputs, (x_re, x_im))`: `(batch, time, H)` in the dtype of `inputs`
        (`(batch, H)` if not `return_sequences`), and the last state, each
        `(batch, H · n)`.

    Raises:
        ValueError: If the shapes do not fit, `inputs` or `log_modulus` is not
            floating, `scan` is unknown, or `block_size` is not positive.
    """
    inputs = ops.convert_to_tensor(inputs)
    check_floating("inputs", inputs)
    check_shape("inputs", inputs, (None, None, None))
    length = static_size(inputs, 1)
    T = resolve_channelwise_block_size(block_size, length)
    system = _Channels(log_modulus, angle, B, C, D, inputs, T)
    scan = resolve_scan(scan, None if length is None else -(-length // T))
    return system.solve(inputs, initial_state, lengths, return_sequences, scan, T)


class _Channels(BlockSystem):
    """Channels side by side: products are batched over them."""

    def __init__(self, log_modulus, angle, B, C, D, inputs, T):
        super().__init__(log_modulus, angle, inputs.dtype)
        self.B = [ops.cast(x, self.dtype) for x in B]
        self.C = [ops.cast(x, self.dtype) for x in C]
        self.D = None if D is None else ops.cast(D, self.dtype)
        H = self.input_dim = self.output_dim = inputs.shape[-1]
        N = self.state_size
        for x in self.B:
            check_shape("B", x, (N,))
        for x in self.C:
            check_shape("C", x, (H, N // H))
        if self.D is not None:
            check_shape("D", self.D, (H,))
        # Λ^0 … Λ^T, of which each product takes its own.
        self.table = self.powers(range(T + 1))

    def read(self, blocks, T):
        W = cx.multiply(cx.unpack(ops.flip(self.table[:-1], axis=0)), self.B)
        W = self._per_channel(W, T)
        states = self._product("bcth,tphn->bcphn", self._steps(blocks, T), W)
        states = ops.reshape(states, (*ops.shape(blocks)[:2], 2 * self.state_size))
        return ops.cast(states, self.dtype)

    def write(self, blocks, entries, last, T):
        del last
        C = [ops.reshape(x, (self.state_size,)) for x in self.C]
        V = self._readout(cx.multiply(cx.unpack(self.table[1:]), C))
        V = self._per_channel(V, T)
        batch, count, _ = ops.shape(entries)
        entries = ops.reshape(entries, (batch, count, *V.shape[1:]))
        outputs = self._product("bcphn,tphn->bcth", entries, V)
        outputs += self._product(
            "bcsh,sth->bcth", self._steps(blocks, T), self._kernel(T)
        )
        return ops.reshape(outputs, (batch, count, T * self.output_dim))

    def output(self, state, step):
        C = ops.stack(self._readout(self.C))
        state = ops.reshape(state, (-1, *C.shape))
        output = self._product("bphn,phn->bh", state, C)
        return output + feed_through(step, self.D, self.compute_dtype)

    def _readout(self, C):
        return C[0], -C[1]

    def _steps(self, blocks, T):
        return ops.reshape(blocks, (*ops.shape(blocks)[:2], T, self.input_dim))

    def _per_channel(self, pair, T):
        """Real and imaginary parts `(T, H · n)` as `(T, 2, H, n)`."""
        shape = (T, self.input_dim, self.state_size // self.input_dim)
        return ops.stack([ops.reshape(x, shape) for x in pair], axis=1)

    def _kernel(self, T):
        """K: `(T, T, H)`, zero where the second step is before the first."""
        B = cx.multiply(cx.unpack(self.table[:-1]), self.B)
        taps = ops.sum(
            self._per_channel(B, T) * ops.stack(self._readout(self.C)), axis=(1, 3)
        )
        if self.D is not None:
            taps = ops.concatenate([taps[:1] + self.D, taps[1:]], axis=0)
        # Rows of 2T, one step of which is left out of each: they shift by one.
        taps = ops.concatenate([taps, ops.zeros_like(taps)], axis=0)
        rows = ops.tile(taps, (T, 1))[:-T]
        return ops.reshape(rows, (T, 2 * T - 1, self.input_dim))[:, :T]

    def _product(self, equation, x, y):
        """`einsum` in the compute dtype."""
        x, y = (ops.cast(z, self.compute_dtype) for z in (x, y))
        return ops.einsum(equation, x, y)
