"""u → y of a diagonal linear time-invariant system, in scan form and in block form.

Block form: time is cut into blocks of T steps, and within a block everything is a
matrix product,

    Z = U W,   W_s = λ^(T−1−s) B         what the block adds to the state,
    x ← λ^T x + Z                        the only recurrence, over L/T blocks,
    Y = E V + U K,   V_j = C λ^(j+1)     E the states that blocks start from,
                     K_(s,j) = Re(C λ^(j−s) B) (+ D if j = s), 0 if j < s.

T = 1 is the scan form: every state is computed, and y = Re(C x) + D u.
"""

import numpy as np
from keras import ops

from keras_lru.checks import check_shape
from keras_lru.ops import complex as cx
from keras_lru.ops.algorithm import resolve_block_size, resolve_scan
from keras_lru.ops.backend import static_size
from keras_lru.ops.indexing import take_step
from keras_lru.ops.linear_recurrence import states_after
from keras_lru.ops.projection import project
from keras_lru.ops.time_invariant import entry_states


def diagonal_ssm(
    inputs,
    log_modulus,
    angle,
    B,
    C,
    D=None,
    initial_state=None,
    lengths=None,
    return_sequences=True,
    scan="auto",
    block_size="auto",
):
    """Outputs and last state of `x_t = Λ x_{t-1} + B u_t`, `y_t = Re(C x_t) + D u_t`.

    Section 1 of the paper with `Λ = diag(exp(log_modulus + i·angle))`. Polar form
    because powers of Λ are taken from it. The recurrence runs in the dtype of
    `log_modulus`; the products run in the dtype of `inputs`.

    Args:
        inputs: `u`, `(batch, time, input_dim)`, floating.
        log_modulus: `log|λ|`, `(state_size,)`.
        angle: `arg λ` in radians, `(state_size,)`.
        B: Pair (real, imag) of `(input_dim, state_size)`.
        C: Pair (real, imag) of `(state_size, output_dim)`.
        D: `None`, a vector `(output_dim,)` (then `input_dim == output_dim`), or a
            matrix `(input_dim, output_dim)`.
        initial_state: Pair of `(batch, state_size)`; `None` means zeros.
        lengths: Integers `(batch,)`: the last state (and the last output) of a sequence
            are those after this many steps. `None` means all steps.
        return_sequences: If false, only the output of the last step is computed.
        scan: `"auto"`, `"sequential"`, `"chunked"` or `"associative"`: how the
            recurrence over blocks is solved.
        block_size: T, a positive integer, or `"auto"`.

    Returns:
        `(outputs, (x_re, x_im))`: `(batch, time, output_dim)` in the dtype of
        `inputs` (`(batch, output_dim)` if not `return_sequences`; zeros for a sequence
        of length 0), and the last state, each `(batch, state_size)`.

    Raises:
        ValueError: If the shapes do not fit, `scan` is unknown, or `block_size` is not
            positive.

    Example:

    >>> import numpy as np
    >>> from keras_lru.ops import diagonal_ssm
    >>> one, zero = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")
    >>> half = np.log(np.float32([0.5]))
    >>> y, _ = diagonal_ssm(
    ...     np.ones((1, 3, 1), "float32"), half, zero[0], (one, zero), (one, zero))
    >>> np.array(y)[0, :, 0].round(3)
    array([1.  , 1.5 , 1.75], dtype=float32)
    """
    inputs = ops.convert_to_tensor(inputs)
    system = _System(log_modulus, angle, B, C, D, inputs)
    length = static_size(inputs, 1)
    T = resolve_block_size(
        block_size, length, system.input_dim, system.output_dim, system.state_size
    )
    scan = resolve_scan(scan, None if length is None else -(-length // T))

    batch, steps = ops.shape(inputs)[:2]
    static_batch = static_size(inputs, 0)
    if initial_state is None:
        initial = ops.zeros((batch, 2 * system.state_size), dtype=system.dtype)
    else:
        initial = [ops.cast(x, system.dtype) for x in initial_state]
        for x in initial:
            check_shape("initial_state", x, (static_batch, system.state_size))
        initial = cx.pack(*initial)
    if lengths is not None:
        lengths = ops.cast(lengths, "int32")
        check_shape("lengths", lengths, (static_batch,))
    if length == 0:
        shape = (batch, 0) if return_sequences else (batch,)
        outputs = ops.zeros((*shape, system.output_dim), dtype=inputs.dtype)
        return outputs, cx.unpack(initial)

    blocks = _into_blocks(inputs, T)
    entries, last = entry_states(
        system.power(T),
        system.log_modulus,
        system.angle,
        system.read(blocks, T),
        initial,
        scan,
        T,
    )
    final = last
    if lengths is not None or length is None or length % T:
        if lengths is None:
            lengths = ops.full((batch,), steps, dtype="int32")
        final = system.state_at(lengths, blocks, entries, last, T)
    if return_sequences:
        outputs = system.write(blocks, entries, last, T)
        padded = ops.shape(blocks)[1] * T
        outputs = ops.reshape(outputs, (batch, padded, system.output_dim))[:, :steps]
    else:
        outputs = system.last_output(blocks, final, lengths, T)
    return outputs, cx.unpack(final)


def _into_blocks(inputs, T):
    """`(batch, blocks, T · input_dim)`, the last block filled up with zeros."""
    batch, steps, input_dim = ops.shape(inputs)
    # Of an unknown length not even "at least one step" is known.
    count = steps // T + 1 if static_size(inputs, 1) is None else -(-steps // T)
    missing = count * T - steps
    if not isinstance(missing, int) or missing:
        zeros = ops.zeros((batch, missing, input_dim), dtype=inputs.dtype)
        inputs = ops.concatenate([inputs, zeros], axis=1)
    return ops.reshape(inputs, (batch, count, T * input_dim))


class _System:
    """The matrices of one (Λ, B, C, D), checked, for any block size."""

    def __init__(self, log_modulus, angle, B, C, D, inputs):
        # Copies: to TensorFlow's custom gradients a variable is not yet a tensor.
        self.log_modulus = ops.copy(log_modulus)
        self.angle = ops.copy(angle)
        self.dtype = self.log_modulus.dtype
        self.compute_dtype = inputs.dtype
        self.B = [ops.cast(x, self.dtype) for x in B]
        self.C = [ops.cast(x, self.dtype) for x in C]
        self.D = None if D is None else ops.cast(D, self.dtype)
        check_shape("inputs", inputs, (None, None, None))
        check_shape("log_modulus", self.log_modulus, (None,))
        check_shape("C", self.C[0], (None, None))
        H = self.input_dim = inputs.shape[-1]
        N = self.state_size = self.log_modulus.shape[0]
        units = self.output_dim = self.C[0].shape[-1]
        check_shape("angle", self.angle, (N,))
        for name, pair, shape in (("B", self.B, (H, N)), ("C", self.C, (N, units))):
            for x in pair:
                check_shape(name, x, shape)
        if self.D is not None:
            vector = [(units,)] if units == H else []
            check_shape("D", self.D, (H, units), *vector)

    def power(self, exponent):
        return cx.power(self.log_modulus, self.angle, exponent)

    def read(self, blocks, T):
        """What each block adds to the state."""
        powers = cx.powers(self.log_modulus, self.angle, range(T - 1, -1, -1))
        W = cx.multiply(cx.unpack(powers[:, None]), self.B)
        W = ops.reshape(cx.pack(*W), (T * self.input_dim, 2 * self.state_size))
        return ops.cast(self._product(blocks, W), self.dtype)

    def write(self, blocks, entries, last, T):
        """Outputs of each block, `(batch, blocks, T · output_dim)`."""
        C = self._readout()
        if T == 1:
            return self._product(states_after(entries, last), C) + self._feedthrough(
                blocks
            )
        powers = cx.powers(self.log_modulus, self.angle, range(1, T + 1))
        powers = [x[:, :, None] for x in cx.unpack(powers)]
        V_re, V_im = cx.multiply(powers, self.C)
        V = ops.concatenate([V_re, -V_im], axis=1)
        V = ops.reshape(
            ops.transpose(V, (1, 0, 2)), (2 * self.state_size, T * self.output_dim)
        )
        return self._product(entries, V) + self._product(blocks, self._kernel(T))

    def last_output(self, blocks, state, lengths, T):
        """Output of the step that led to `state`; zeros where there was none."""
        batch, count, _ = ops.shape(blocks)
        steps = ops.reshape(blocks, (batch, count * T, self.input_dim))
        if lengths is None:
            step = steps[:, -1]
        else:
            step = take_step(steps, ops.maximum(lengths - 1, 0))
        output = self._product(state, self._readout()) + self._feedthrough(step)
        if lengths is None:
            return output
        return ops.where(lengths[:, None] > 0, output, ops.zeros_like(output))

    def state_at(self, lengths, blocks, entries, last, T):
        """State after `lengths[b]` steps, from the state its block starts with."""
        count = ops.shape(entries)[1]
        block, rest = lengths // T, lengths % T
        inside = ops.minimum(block, count - 1)
        state = ops.where((block < count)[:, None], take_step(entries, inside), last)
        if T == 1:
            return state
        steps = ops.reshape(take_step(blocks, inside), (-1, T, self.input_dim))
        inputs = ops.cast(self._product(steps, cx.pack(*self.B)), self.dtype)
        for t in range(T - 1):
            after = cx.scale(self.power(1), state) + inputs[:, t]
            state = ops.where((t < rest)[:, None], after, state)
        return state

    def _readout(self):
        return ops.concatenate([self.C[0], -self.C[1]], axis=0)

    def _feedthrough(self, inputs):
        if self.D is None:
            return ops.zeros((), dtype=self.compute_dtype)
        if len(self.D.shape) == 1:
            return inputs * ops.cast(self.D, self.compute_dtype)
        return self._product(inputs, self.D)

    def _kernel(self, T):
        """K: the block Toeplitz matrix `(T · input_dim, T · output_dim)`."""
        powers = cx.powers(self.log_modulus, self.angle, range(T))
        B = cx.pack(*cx.multiply(cx.unpack(powers[:, None]), self.B))
        taps = ops.matmul(B, self._readout())
        if self.D is not None:
            D = self.D
            if len(D.shape) == 1:
                # Not `ops.diag`: OpenVINO has no rule for it.
                D = D * ops.convert_to_tensor(np.eye(self.output_dim), dtype=self.dtype)
            taps = ops.concatenate([taps[:1] + D, taps[1:]], axis=0)
        taps = ops.concatenate([ops.zeros_like(taps[1:]), taps], axis=0)
        rows = ops.stack([taps[T - 1 - s : 2 * T - 1 - s] for s in range(T)])
        return ops.reshape(
            ops.transpose(rows, (0, 2, 1, 3)),
            (T * self.input_dim, T * self.output_dim),
        )

    def _product(self, x, matrix):
        return project(x, matrix, self.compute_dtype)
