"""u → y of a diagonal linear time-invariant system whose inputs reach all states."""

from collections.abc import Sequence

import keras
from keras import ops

from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Polar
from keras_lru.ops.dense_system import DenseSystem


def diagonal_ssm(
    inputs: Tensor,
    log_modulus: Tensor,
    angle: Tensor,
    B: Sequence[Tensor],
    C: Sequence[Tensor],
    D: Tensor | None = None,
    initial_state: Sequence[Tensor] | None = None,
    lengths: Tensor | None = None,
    return_sequences: bool = True,
    scan: str = "auto",
    block_size: int | str = "auto",
) -> tuple[Tensor, list[Tensor]]:
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
        scan: `"auto"`, `"sequential"`, `"chunked"`, `"associative"` or `"pallas"`: how
            the recurrence over blocks is solved, as for `linear_recurrence`.
        block_size: T, a positive integer, or `"auto"`.

    Returns:
        `(outputs, (x_re, x_im))`: `(batch, time, output_dim)` in the dtype of
        `inputs` (`(batch, output_dim)` if not `return_sequences`; zeros for a sequence
        of length 0), and the last state, each `(batch, state_size)`.

    Raises:
        ValueError: If the shapes do not fit, `inputs` or `log_modulus` is not
            floating, `scan` is unknown or not of this backend, or `block_size` is not
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
    dtype = keras.backend.standardize_dtype(inputs.dtype)
    system = DenseSystem(Polar(log_modulus, angle), B, C, D, dtype)
    outputs, last = system.run(
        inputs, initial_state, lengths, return_sequences, scan, block_size
    )
    return outputs, [*last]
