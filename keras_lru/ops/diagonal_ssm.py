"""u → y of a diagonal linear time-invariant system whose inputs reach all states."""

import numpy as np
from keras import ops

from keras_lru.checks import check_shape
from keras_lru.ops import complex as cx
from keras_lru.ops.algorithm import resolve_block_size, resolve_scan
from keras_lru.ops.backend import static_size
from keras_lru.ops.block_form import BlockSystem
from keras_lru.ops.dtypes import check_floating
from keras_lru.ops.linear_recurrence import states_after
from keras_lru.ops.projection import feed_through, project


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
        ValueError: If the shapes do not fit, `inputs` or `log_modulus` is not
            floating, `scan` is unknown, or `block_size` is not positive.

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
    check_floating("inputs", inputs)
    system = _System(log_modulus, angle, B, C, D, inputs)
    length = static_size(inputs, 1)
    T = resolve_block_size(
        block_size, length, system.input_dim, system.output_dim, system.state_size
    )
    scan = resolve_scan(scan, None if length is None else -(-length // T))
    return system.solve(inputs, initial_state, lengths, return_sequences, scan, T)


class _System(BlockSystem):
    """Dense B and C, checked."""

    def __init__(self, log_modulus, angle, B, C, D, inputs):
        super().__init__(log_modulus, angle, inputs.dtype)
        self.B = [ops.cast(x, self.dtype) for x in B]
        self.C = [ops.cast(x, self.dtype) for x in C]
        self.D = None if D is None else ops.cast(D, self.dtype)
        check_shape("inputs", inputs, (None, None, None))
        check_shape("C", self.C[0], (None, None))
        H = self.input_dim = inputs.shape[-1]
        N = self.state_size
        units = self.output_dim = self.C[0].shape[-1]
        for name, pair, shape in (("B", self.B, (H, N)), ("C", self.C, (N, units))):
            for x in pair:
                check_shape(name, x, shape)
        if self.D is not None:
            vector = [(units,)] if units == H else []
            check_shape("D", self.D, (H, units), *vector)

    def read(self, blocks, T):
        powers = self.powers(range(T - 1, -1, -1))
        W = cx.multiply(cx.unpack(powers[:, None]), self.B)
        W = ops.reshape(cx.pack(*W), (T * self.input_dim, 2 * self.state_size))
        return ops.cast(self._product(blocks, W), self.dtype)

    def write(self, blocks, entries, last, T):
        C = self._readout()
        if T == 1:
            return self._product(states_after(entries, last), C) + self._feedthrough(
                blocks
            )
        powers = self.powers(range(1, T + 1))
        powers = [x[:, :, None] for x in cx.unpack(powers)]
        V_re, V_im = cx.multiply(powers, self.C)
        V = ops.concatenate([V_re, -V_im], axis=1)
        V = ops.reshape(
            ops.transpose(V, (1, 0, 2)), (2 * self.state_size, T * self.output_dim)
        )
        return self._product(entries, V) + self._product(blocks, self._kernel(T))

    def output(self, state, step):
        return self._product(state, self._readout()) + self._feedthrough(step)

    def _readout(self):
        return ops.concatenate([self.C[0], -self.C[1]], axis=0)

    def _feedthrough(self, inputs):
        return feed_through(inputs, self.D, self.compute_dtype)

    def _kernel(self, T):
        """K: the block Toeplitz matrix `(T · input_dim, T · output_dim)`."""
        powers = self.powers(range(T))
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
