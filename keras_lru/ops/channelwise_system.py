"""One diagonal system per channel, each with its own states, as in S4D."""

from collections.abc import Sequence

from keras import ops

from keras_lru.backend.types import Tensor
from keras_lru.checks import check_shape
from keras_lru.ops.algorithm import resolve_channelwise_block_size
from keras_lru.ops.complex import Complex, Polar
from keras_lru.ops.diagonal_system import DiagonalSystem
from keras_lru.ops.sequences import feed_through


class ChannelwiseSystem(DiagonalSystem):
    """`H` systems of one input, `n` states and one output, side by side.

    As a `DenseSystem` would be with block-diagonal B and C, at the cost of the blocks.
    The states of all channels are one vector, channel by channel: Λ and B are
    `(H · n,)`, C is `(H, n)`, D is `None` or `(H,)`. The other arguments are those of
    `DiagonalSystem`.
    """

    def __init__(
        self,
        polar: Polar,
        B: Sequence[Tensor],
        C: Sequence[Tensor],
        D: Tensor | None,
        compute_dtype: str,
    ):
        super().__init__(polar, B, C, D, compute_dtype)
        N = self.state_size
        check_shape("C", self.C.real, (None, None))
        H = self.input_dim = self.output_dim = self.C.real.shape[0]
        for x in self.B:
            check_shape("B", x, (N,))
        for x in self.C:
            check_shape("C", x, (H, N // H))
        if self.D is not None:
            check_shape("D", self.D, (H,))

    def resolve_block_size(
        self, block_size: int | str, length: int | None, batch: int | None
    ) -> int:
        del batch
        return resolve_channelwise_block_size(block_size, length)

    def read(self, blocks: Tensor, T: int) -> Tensor:
        if len(blocks.shape) == 2:
            return self.read(blocks[:, None], T)[:, 0]
        powers = self._powers(T).map(lambda x: ops.flip(x[:-1], axis=0))
        W = self._per_channel(powers * self.B, T)
        states = self._product("bcth,tphn->bcphn", self._steps(blocks, T), W)
        states = ops.reshape(states, (*ops.shape(blocks)[:2], 2 * self.state_size))
        return ops.cast(states, self.dtype)

    def write(self, blocks: Tensor, before: Tensor, last: Tensor, T: int) -> Tensor:
        del last
        C = self.C.map(lambda x: ops.reshape(x, (self.state_size,)))
        powers = self._powers(T).map(lambda x: x[1:])
        V = self._per_channel(_readout(powers * C), T)
        batch, count, _ = ops.shape(before)
        before = ops.reshape(before, (batch, count, *V.shape[1:]))
        outputs = self._product("bcphn,tphn->bcth", before, V)
        outputs = outputs + self._product(
            "bcsh,sth->bcth", self._steps(blocks, T), self._kernel(T)
        )
        return ops.reshape(outputs, (batch, count, T * self.output_dim))

    def output(self, state: Tensor, inputs: Tensor) -> Tensor:
        C = ops.stack(_readout(self.C))
        state, C = (ops.cast(x, self.compute_dtype) for x in (state, C))
        state = ops.reshape(state, (*ops.shape(state)[:-1], *C.shape))
        # Not `einsum`, which LiteRT's converter gets wrong for unknown batches.
        output = ops.sum(state * C, axis=(-3, -1))
        return output + feed_through(inputs, self.D, self.compute_dtype)

    def _steps(self, blocks, T):
        return ops.reshape(blocks, (*ops.shape(blocks)[:2], T, self.input_dim))

    def _per_channel(self, z, T):
        """Real and imaginary parts `(T, H · n)` as `(T, 2, H, n)`."""
        shape = (T, self.input_dim, self.state_size // self.input_dim)
        return ops.stack([ops.reshape(x, shape) for x in z], axis=1)

    def _kernel(self, T):
        """K: `(T, T, H)`, zero where the second step is before the first."""
        powers = self._powers(T).map(lambda x: x[:-1])
        B = self._per_channel(powers * self.B, T)
        taps = ops.sum(B * ops.stack(_readout(self.C)), axis=(1, 3))
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


def _readout(C):
    """What real and imaginary parts are multiplied by, for the real part of `C x`."""
    return Complex(C.real, -C.imag)
