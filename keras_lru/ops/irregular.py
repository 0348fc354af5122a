"""Steps of unequal size: x_t = λ^Δ_t ⊙ x_{t−1} + φ_t ⊙ b_t, Δ_t in regular steps.

What the input does between two steps makes φ. It holds its value ("zero_order"): a
step of size n is n steps with the same input, φ = (λ^Δ − 1) / (λ − 1). Or it is an
event at its own time ("impulse"): a step of size n is n − 1 steps without input, then
one, φ = 1.

Powers of λ are `(batch, time, n)` each. The gradient is written by hand, and computes
them again instead of keeping them.
"""

from keras import ops

from keras_lru.backend import function_with_gradient, vector_jacobian_product
from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Complex, Polar, pack, unpack
from keras_lru.ops.sequences import kept
from keras_lru.ops.time_varying import VaryingRecurrence

HOLDS = ("zero_order", "impulse")
# |log λ|² below which λ is 1.
_TINY = 1e-30


def input_scale(polar: Polar, hold: str) -> Complex:
    """The part of φ that is the same for all steps, for B to be multiplied by.

    Args:
        polar: λ, `(n,)`.
        hold: One of `HOLDS`.

    Returns:
        `1 / (λ − 1)`, and 1 where λ is 1; of `"impulse"`, 1 everywhere.
    """
    one = polar.power_minus_one(1.0)
    if hold == "impulse":
        return Complex(ops.ones_like(one.real), ops.zeros_like(one.imag))
    square = one.real * one.real + one.imag * one.imag
    tiny = _is_tiny(polar)
    # Where it is not used, its gradient must be finite all the same.
    safe = ops.where(tiny, ops.ones_like(square), square)
    return Complex(
        ops.where(tiny, ops.ones_like(square), one.real / safe),
        ops.where(tiny, ops.zeros_like(square), -one.imag / safe),
    )


def irregular_step(
    polar: Polar, step_sizes: Tensor | float, b: Tensor, hold: str
) -> tuple[Tensor, Tensor]:
    """`(λ^Δ, φ ⊙ b)`, packed.

    Args:
        polar: λ, `(n,)`.
        step_sizes: Δ, `(…, 1)`. None is negative; of size 0 with zero `b`, a step does
            nothing.
        b: What inputs add in a step of size 1, times `input_scale`, packed, `(…, 2·n)`.
        hold: One of `HOLDS`.
    """
    change = polar.power_minus_one(step_sizes)
    a = pack(Complex(1.0 + change.real, change.imag))
    if hold == "impulse":
        return a, b
    # λ^Δ − 1; and where λ is 1, with z = log λ, Δ + Δ (Δ − 1)/2 z in its place.
    tiny = ops.cast(_is_tiny(polar), b.dtype)
    curve = 0.5 * step_sizes * (step_sizes - 3.0)
    held = Complex(
        change.real + step_sizes * tiny + curve * (tiny * polar.log_modulus),
        change.imag + curve * (tiny * polar.angle),
    )
    return a, pack(held * unpack(b))


def _is_tiny(polar):
    """Whether λ is 1, as far as its powers tell."""
    log_modulus, angle = polar
    return log_modulus * log_modulus + angle * angle < _TINY


def irregular_states(
    polar: Polar,
    step_sizes: Tensor,
    b: Tensor,
    initial_state: Tensor,
    scan: str,
    hold: str,
    keep: Tensor | None = None,
    reset_to: Tensor | None = None,
) -> Tensor:
    """State after each step.

    Args:
        polar: λ, `(n,)`.
        step_sizes: Δ, `(batch, time, 1)`, as of `irregular_step`.
        b: The same, packed, `(batch, time, 2·n)`, of one step at least.
        initial_state: State before the first step, packed, `(batch, 2·n)`.
        scan: As of `linear_recurrence`.
        hold: One of `HOLDS`.
        keep: Boolean `(batch, time, 1)`: where false, the step starts from `reset_to`
            and not from the state before it. `None` means nowhere.
        reset_to: Packed, `(batch, 2·n)`. `None` means zeros.

    Returns:
        Packed, `(batch, time, 2·n)`.
    """
    recurrence = VaryingRecurrence(scan, is_complex=True, has_cuts=keep is not None)
    begun = () if reset_to is None or keep is None else (reset_to,)
    arguments = (*polar, step_sizes, b, *begun)
    count = len(arguments)
    keeps = () if keep is None else (ops.cast(keep, b.dtype),)

    def coefficients(arguments, keeps):
        log_modulus, angle, step_sizes, b, *begun = arguments
        a, added = irregular_step(Polar(log_modulus, angle), step_sizes, b, hold)
        if begun:
            added = begin_with(begun[0], keeps[0], a, added)
        return a, added

    def forward(*values):
        arguments, (initial, *keeps) = values[:count], values[count:]
        a, added = coefficients(arguments, keeps)
        states = recurrence.solve(kept(a, *keeps), added, initial)
        return states, (*values, states)

    def backward(saved, d_states):
        arguments, (initial, *keeps, states) = saved[:count], saved[count:]
        a, _ = coefficients(arguments, keeps)
        d_a, d_added, d_initial = recurrence.pull_back(
            kept(a, *keeps), initial, states, d_states
        )
        gradients = vector_jacobian_product(
            lambda arguments: coefficients(arguments, keeps),
            tuple(arguments),
            (kept(d_a, *keeps), d_added),
        )
        return *gradients, d_initial, *map(ops.zeros_like, keeps)

    return function_with_gradient(forward, backward)(*arguments, initial_state, *keeps)


def begin_with(
    reset_to: Tensor | None, keep: Tensor | None, a: Tensor, b: Tensor
) -> Tensor:
    """What inputs add, and what is left of the state that a sequence begins with.

    Args:
        reset_to: Packed, `(batch, 2·n)`, or `None` for zeros.
        keep: `(batch, time, 1)`, false or zero where a sequence begins, or `None`.
        a: The coefficient, packed, `(2·n,)` or `(batch, time, 2·n)`.
        b: What inputs add, packed, `(batch, time, 2·n)`.

    Returns:
        Packed, `(batch, time, 2·n)`.
    """
    if reset_to is None or keep is None:
        return b
    begun = pack(unpack(a) * unpack(reset_to[:, None]))
    return ops.where(ops.cast(keep, "bool"), b, b + begun)
