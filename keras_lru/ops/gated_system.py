"""Linear recurrences whose coefficients the inputs set, as in the RG-LRU."""

from collections.abc import Callable, Sequence

import numpy as np
from keras import ops

from keras_lru.backend import function_with_gradient
from keras_lru.backend.types import Tensor
from keras_lru.ops.last_unmasked import last_unmasked_step, repeat_at_masked
from keras_lru.ops.linear_recurrence import linear_recurrence
from keras_lru.ops.sequences import (
    add_masked_step,
    is_running,
    static_size,
    zero_without_steps,
)
from keras_lru.ops.system import System

# As in the published implementation of the RG-LRU.
_MAX_SQRT_SLOPE = 1000.0


class GatedSystem(System):
    """`h_t = a_t ⊙ h_{t-1} + b_t`, real, where the inputs set both; h_t is the output.

    Args:
        coefficients: Maps inputs, of a step or of sequences, to `(a, b)` of the size
            and the dtype of the state. `b` of zero inputs is zero.
        compute_dtype: Dtype of the outputs.
    """

    keeps_zero_state = True
    takes_reset = True
    takes_mask = True

    def __init__(
        self,
        coefficients: Callable[[Tensor], tuple[Tensor, Tensor]],
        compute_dtype: str,
    ):
        self.coefficients = coefficients
        self.compute_dtype = compute_dtype

    def step(
        self, inputs: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        (h,) = states
        a, b = self.coefficients(inputs)
        h = a * h + b
        return ops.cast(h, self.compute_dtype), [h]

    def run(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        lengths: Tensor | None = None,
        return_sequences: bool = True,
        scan: str = "auto",
    ) -> tuple[Tensor, list[Tensor]]:
        a, b = self.coefficients(inputs)
        if lengths is not None:
            # Past the end the state stays as it is.
            runs = ops.expand_dims(is_running(lengths, ops.shape(inputs)[1]), -1)
            a = ops.where(runs, a, ops.ones_like(a))
            b = ops.where(runs, b, ops.zeros_like(b))
        initial = None if initial_state is None else initial_state[0]
        states, last = linear_recurrence(a, b, initial, scan=scan)
        outputs = states if return_sequences else zero_without_steps(last, lengths)
        return ops.cast(outputs, self.compute_dtype), [last]

    def run_in_time(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        step_sizes: Tensor | None = None,
        reset: Tensor | None = None,
        mask: Tensor | None = None,
        return_sequences: bool = True,
        reset_to: Sequence[Tensor] | None = None,
        scan: str = "auto",
    ) -> tuple[Tensor, list[Tensor]]:
        steps = ops.shape(inputs)[1]
        if add_step := not static_size(inputs, 1):
            inputs, _, reset, mask = add_masked_step(inputs, step_sizes, reset, mask)
        if mask is not None:
            inputs = ops.where(
                ops.expand_dims(mask, -1), inputs, ops.zeros_like(inputs)
            )
        a, b = self.coefficients(inputs)
        if mask is not None:
            runs = ops.expand_dims(mask, -1)
            a = ops.where(runs, a, ops.ones_like(a))
            b = ops.where(runs, b, ops.zeros_like(b))
        initial = None if initial_state is None else initial_state[0]
        if reset is not None and reset_to is not None:
            begun = ops.cast(reset_to[0], b.dtype)[:, None]
            b = b + ops.where(ops.expand_dims(reset, -1), a * begun, ops.zeros_like(b))
        states, last = linear_recurrence(a, b, initial, scan=scan, reset=reset)
        outputs: Tensor = states if return_sequences else last
        if mask is not None:
            if return_sequences:
                outputs = repeat_at_masked(outputs, mask, reset)
            else:
                _, exists = last_unmasked_step(mask, reset)
                outputs = ops.where(
                    ops.expand_dims(exists, 1), outputs, ops.zeros_like(outputs)
                )
        if add_step and return_sequences:
            outputs = outputs[:, :steps]
        return ops.cast(outputs, self.compute_dtype), [last]

    def run_masked(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None,
        mask: Tensor,
        return_sequences: bool = True,
        scan: str = "auto",
    ) -> tuple[Tensor, list[Tensor]]:
        return self.run_in_time(
            inputs,
            initial_state,
            mask=mask,
            return_sequences=return_sequences,
            scan=scan,
        )


def bounded_sqrt(x: Tensor) -> Tensor:
    """`sqrt(x)`, with a gradient that a closed gate, x = 0, does not make infinite.

    The gradient alone is bounded: a bound on `x` would let inputs through that gate.
    """

    def forward(x):
        return ops.sqrt(x), (x,)

    def backward(kept, d_y):
        (x,) = kept
        return (d_y / ops.sqrt(ops.clip(4.0 * x, _MAX_SQRT_SLOPE**-2, np.inf)),)

    return function_with_gradient(forward, backward)(x)
