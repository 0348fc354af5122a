"""How a diagonal system's state depends on its coefficients, carried forward in time.

The state is `x_t = λ ⊙ x_{t-1} + B u_t`. As λ is diagonal, so are its derivatives,

    ∂x_t/∂λ = λ ⊙ ∂x_{t-1}/∂λ + x_{t-1},    ∂x_t/∂B = λ ⊙ ∂x_{t-1}/∂B + u_t:

for each λ one number more, for each number of B one (Zucchet et al., 2023,
https://arxiv.org/abs/2305.15947). γ, ν, θ and Δ enter through λ and γB alone, so the
backend's gradient of one step takes it from there.
"""

from typing import NamedTuple

from keras import ops

from keras_lru.backend.types import Tensor
from keras_lru.ops.channelwise_system import ChannelwiseSystem
from keras_lru.ops.complex import Complex, pack, unpack
from keras_lru.ops.dense_system import DenseSystem
from keras_lru.ops.diagonal_system import DiagonalSystem


class Trace(NamedTuple):
    """What is carried from step to step, in place of all steps so far.

    Attributes:
        state: x, `(batch, state_size)`.
        by_eigenvalue: ∂x/∂λ, `(batch, state_size)`.
        by_input: ∂x/∂B: `(batch, input_dim, state_size)` where each input reaches each
            state, `(batch, state_size)` where each state has one input.
    """

    state: Complex
    by_eigenvalue: Complex
    by_input: Complex


def start_trace(system: DiagonalSystem, batch: int) -> Trace:
    """The trace before the first step: zeros.

    Args:
        system: The recurrence.
        batch: Sequences.

    Raises:
        ValueError: If it is another system than a `DenseSystem` or a
            `ChannelwiseSystem`.
    """
    if not isinstance(system, DenseSystem | ChannelwiseSystem):
        raise ValueError(
            "`system` must be a DenseSystem or a ChannelwiseSystem. Received: "
            f"system={type(system).__name__}"
        )

    def zeros(*shape):
        part = ops.zeros((batch, *shape), dtype=system.dtype)
        return Complex(part, part)

    per_state = zeros(system.state_size)
    return Trace(per_state, per_state, zeros(*system.B.real.shape))


def traced_step(
    system: DiagonalSystem, inputs: Tensor, trace: Trace
) -> tuple[Tensor, Trace]:
    """One step of a system whose gradient reaches through all steps before it.

    The output's gradient in λ and B is that of the whole past, in `inputs` and in C and
    D that of this step. The new trace is nobody's to differentiate.

    Args:
        system: The recurrence.
        inputs: `(batch, input_dim)`, in the compute dtype.
        trace: The trace before the step.

    Returns:
        Outputs `(batch, output_dim)` in the compute dtype, and the trace after it.
    """
    decay = system.polar.power(1)
    before = _with_past(system, decay, trace)
    state = decay * before + unpack(system.read(inputs, 1))
    outputs = system.output(pack(state), inputs)
    fixed = decay.map(ops.stop_gradient)
    by_input = fixed * trace.by_input
    reached = _per_state(system, ops.cast(ops.stop_gradient(inputs), system.dtype))
    return outputs, Trace(
        state.map(ops.stop_gradient),
        fixed * trace.by_eigenvalue + trace.state,
        Complex(by_input.real + reached, by_input.imag),
    )


def _with_past(system, decay, trace):
    """The state before the step: its value, and beside it zeros with its gradient."""
    by_eigenvalue = trace.by_eigenvalue * _as_zero(decay)
    by_input = trace.by_input * _as_zero(system.B)
    if len(by_input.real.shape) == 3:
        by_input = by_input.map(lambda x: ops.sum(x, axis=1))
    return trace.state + by_eigenvalue + by_input


def _as_zero(z):
    return z.map(lambda x: x - ops.stop_gradient(x))


def _per_state(system, inputs):
    """What each number of B is multiplied by in this step."""
    if isinstance(system, ChannelwiseSystem):
        return ops.repeat(inputs, system.state_size // system.input_dim, axis=1)
    return inputs[:, :, None]
