"""x_t = σ(x_{t−1} A + b_t): a dense transition, a nonlinearity, one step at a time.

The gradient is written by hand: it keeps the states alone, its loop has one product a
step, and the gradient in A is one product over all time.
"""

from keras import ops, tree

from keras_lru.ops.backend import loop_over_time, pullback
from keras_lru.ops.gradients import custom_gradient
from keras_lru.ops.indexing import running
from keras_lru.ops.projection import project


def dense_recurrence(inputs, A, activation, initial_state, lengths=None):
    """States before each step, and after the last, of `x_t = σ(x_{t-1} A + b_t)`.

    Args:
        inputs: `b`, `(batch, time, state_size)`, of one step at least.
        A: `(state_size, state_size)`, in the dtype of `inputs`.
        activation: σ, a function of a tensor `(batch, state_size)`.
        initial_state: State before the first step, `(batch, state_size)`.
        lengths: Integers `(batch,)`: the steps after which each sequence has ended and
            its state stays as it is. `None` means all steps.

    Returns:
        `(entries, last)`: `(batch, time, state_size)`, where `entries[:, t]` is the
        state that step `t` started from, and `(batch, state_size)`.
    """
    if lengths is not None:
        runs = running(lengths, ops.shape(inputs)[1])[..., None]
        runs = ops.cast(runs, inputs.dtype)
        inputs = ops.concatenate([inputs, runs], axis=-1)
    # A copy: to TensorFlow's custom gradients a variable is not yet a tensor.
    return _solve(inputs, ops.copy(A), activation, initial_state)


def _solve(inputs, A, activation, initial_state):
    """The same; a feature more of the inputs than of the state says which steps run."""
    n = initial_state.shape[-1]
    masked = inputs.shape[-1] > n

    @custom_gradient
    def recurrence(inputs, A, initial_state):
        def step(x, inputs):
            new = activation(inputs[:, :n] + ops.matmul(x, A))
            return ops.where(inputs[:, n:] > 0, new, x) if masked else new

        entries, last = loop_over_time(step, initial_state, inputs)

        def gradient(*upstream):
            d_entries, d_last = tree.flatten(upstream)
            z = inputs[..., :n] + project(entries, A, A.dtype)
            runs = inputs[..., n:]

            def pull(adjoint, z, runs):
                d_z = pullback(activation, z, adjoint)
                return ops.where(runs > 0, d_z, ops.zeros_like(d_z)) if masked else d_z

            def step_back(adjoint, step):
                z, d_entry, runs = step[:, :n], step[:, n : 2 * n], step[:, 2 * n :]
                d_x = ops.matmul(pull(adjoint, z, runs), ops.transpose(A))
                return d_entry + (ops.where(runs > 0, d_x, adjoint) if masked else d_x)

            steps = ops.concatenate([z, d_entries, runs], axis=-1)
            adjoints, d_initial = loop_over_time(step_back, d_last, steps, reverse=True)
            d_z = pull(adjoints, z, runs)
            d_A = ops.matmul(
                ops.transpose(ops.reshape(entries, (-1, n))), ops.reshape(d_z, (-1, n))
            )
            d_inputs = ops.concatenate([d_z, ops.zeros_like(runs)], axis=-1)
            return d_inputs, d_A, d_initial

        return (entries, last), gradient

    return recurrence(inputs, A, initial_state)
