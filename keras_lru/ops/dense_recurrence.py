"""x_t = σ(x_{t−1} A + B u_t): a dense transition, a nonlinearity, one step at a time.

The gradient is written by hand: it keeps the states alone, its loop has one product a
step, and the gradient in A is one product over all time.
"""

from collections.abc import Callable, Sequence

from keras import ops

from keras_lru.backend import (
    function_with_gradient,
    loop_over_time,
    vector_jacobian_product,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.sequences import (
    feed_through,
    is_running,
    last_step,
    project,
    zero_without_steps,
)
from keras_lru.ops.system import System
from keras_lru.ops.time_invariant import states_after


class DenseRecurrence(System):
    """`x_t = σ(x_{t-1} A + u_t B)`, `y_t = x_t C + D u_t`, the vanilla RNN.

    The recurrence runs in the dtype of `A`; B, C and D are applied in `compute_dtype`.

    Args:
        A: `(state_size, state_size)`.
        B: `(input_dim, state_size)`.
        C: `(state_size, units)`.
        D: `None`, `(units,)` or `(input_dim, units)`.
        activation: σ, a function of a tensor `(…, state_size)`.
        compute_dtype: Dtype of the inputs, of their products and of the outputs.
    """

    def __init__(
        self,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor | None,
        activation: Callable[[Tensor], Tensor],
        compute_dtype: str,
    ):
        # A copy: to TensorFlow's custom gradients a variable is not yet a tensor.
        self.A = ops.copy(A)
        self.B, self.C, self.D = B, C, D
        self.activation = activation
        self.compute_dtype = compute_dtype

    def step(
        self, inputs: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        (x,) = states
        x = self.activation(x @ self.A + self._read(inputs))
        return self._write(x, inputs), [x]

    def run(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        lengths: Tensor | None = None,
        return_sequences: bool = True,
    ) -> tuple[Tensor, list[Tensor]]:
        added = self._read(inputs)
        if initial_state is None:
            shape = (ops.shape(inputs)[0], self.A.shape[0])
            initial = ops.zeros(shape, dtype=self.A.dtype)
        else:
            initial = ops.cast(initial_state[0], self.A.dtype)
        before, last = dense_recurrence(
            added, self.A, self.activation, initial, lengths
        )
        if return_sequences:
            outputs = self._write(states_after(before, last), inputs)
        else:
            outputs = self._write(last, last_step(inputs, lengths))
            outputs = zero_without_steps(outputs, lengths)
        return outputs, [last]

    def _read(self, inputs):
        """`u B` in the dtype of the state."""
        return ops.cast(project(inputs, self.B, self.compute_dtype), self.A.dtype)

    def _write(self, x, inputs):
        """`x C + D u` in the compute dtype."""
        fed = feed_through(inputs, self.D, self.compute_dtype)
        return project(x, self.C, self.compute_dtype) + fed


def dense_recurrence(
    inputs: Tensor,
    A: Tensor,
    activation: Callable[[Tensor], Tensor],
    initial_state: Tensor,
    lengths: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """States before each step, and after the last, of `x_t = σ(x_{t-1} A + b_t)`.

    Args:
        inputs: `b`, `(batch, time, state_size)`, of one step at least.
        A: `(state_size, state_size)`, in the dtype of `inputs`.
        activation: σ, a function of a tensor `(batch, state_size)`.
        initial_state: State before the first step, `(batch, state_size)`.
        lengths: Integers `(batch,)`: the steps after which each sequence has ended and
            its state stays as it is. `None` means all steps.

    Returns:
        `(before, last)`: `(batch, time, state_size)`, where `before[:, t]` is the
        state that step `t` started from, and `(batch, state_size)`.
    """
    runs: tuple[Tensor, ...] = ()
    if lengths is not None:
        is_on = is_running(lengths, ops.shape(inputs)[1])
        runs = (ops.cast(ops.expand_dims(is_on, -1), inputs.dtype),)

    def where_runs(new, old, runs):
        return ops.where(runs[0] > 0, new, old) if runs else new

    def forward(inputs, A, initial_state, *runs):
        def step(x, inputs, *runs):
            return where_runs(activation(inputs + x @ A), x, runs)

        before, last = loop_over_time(step, initial_state, [inputs, *runs])
        return (before, last), (inputs, A, before, *runs)

    def backward(saved, d_before, d_last):
        inputs, A, before, *runs = saved
        z = inputs + project(before, A, A.dtype)

        def pull(adjoint, z, runs):
            d_z = vector_jacobian_product(activation, z, adjoint)
            return where_runs(d_z, ops.zeros_like(d_z), runs)

        def step_back(adjoint, z, d_entry, *runs):
            d_x = pull(adjoint, z, runs) @ ops.transpose(A)
            return d_entry + where_runs(d_x, adjoint, runs)

        steps = [z, d_before, *runs]
        adjoints, d_initial = loop_over_time(step_back, d_last, steps, reverse=True)
        d_z = pull(adjoints, z, runs)
        n = initial_state.shape[-1]
        d_A = ops.transpose(ops.reshape(before, (-1, n))) @ ops.reshape(d_z, (-1, n))
        return d_z, d_A, d_initial, *map(ops.zeros_like, runs)

    return function_with_gradient(forward, backward)(inputs, A, initial_state, *runs)
