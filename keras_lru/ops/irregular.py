"""Steps of unequal size: x_t = λ^Δ_t ⊙ x_{t−1} + φ_t ⊙ b_t, Δ_t in regular steps.

What the input does between two steps makes φ. It holds its value ("zero_order"): a
step of size n is n steps with the same input, φ = (λ^Δ − 1) / (λ − 1). Or it is an
event at its own time ("impulse"): a step of size n is n − 1 steps without input, then
one, φ = 1.

Powers of λ are `(batch, time, n)` each. The gradient is written by hand, and computes
them again instead of keeping them.
"""

import functools

from keras import ops

from keras_lru.backend import (
    exact_product,
    function_with_gradient,
    vector_jacobian_product,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Complex, Polar, conjugate, pack, unpack
from keras_lru.ops.sequences import in_pieces, kept
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
    tiny = _is_tiny(polar) > 0
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
    power, gain = _power_and_gain(polar, step_sizes, hold)
    return pack(power), b if gain is None else pack(gain * unpack(b))


def _power_and_gain(polar, step_sizes, hold):
    """λ^Δ, and what `b` is multiplied by; `None` if it is not."""
    change = polar.power_minus_one(step_sizes)
    power = Complex(1.0 + change.real, change.imag)
    if hold == "impulse":
        return power, None
    # λ^Δ − 1; and where λ is 1, with z = log λ, Δ + Δ (Δ − 1)/2 z in its place.
    tiny = _is_tiny(polar)
    curve = _curve(step_sizes)
    return power, Complex(
        change.real + step_sizes * tiny + curve * (tiny * polar.log_modulus),
        change.imag + curve * (tiny * polar.angle),
    )


def _pull_back_step(polar, step_sizes, b, power, gain, d_power, d_added):
    """Gradients in λ, Δ and `b`, of what a `_power_and_gain` and those in its step are.

    `power` and `gain` are complex, the gradients packed, `(batch, time, 2·n)`.
    """
    d_power, d_b = unpack(d_power), d_added
    if gain is not None:
        d_gain = conjugate(unpack(b)) * unpack(d_added)
        d_b = pack(conjugate(gain) * unpack(d_added))
        d_power = d_power + d_gain
    # In z = Δ log λ, of which λ^Δ is the exponential.
    d_logs, d_sizes = _pull_back_product(
        step_sizes, pack(Complex(*polar)), pack(conjugate(power) * d_power)
    )
    if gain is not None:
        tiny, d_gain = _is_tiny(polar), pack(d_gain)
        ones = pack(Complex(tiny, ops.zeros_like(tiny)))
        slopes = pack(Complex(*(tiny * x for x in polar)))
        _, d_linear = _pull_back_product(step_sizes, ones, d_gain)
        d_slopes, d_curve = _pull_back_product(_curve(step_sizes), slopes, d_gain)
        d_logs = d_logs + pack(Complex(tiny, tiny)) * d_slopes
        d_sizes = d_sizes + d_linear + (step_sizes - 1.5) * d_curve
    return *unpack(d_logs), d_sizes, d_b


def _pull_back_product(of_steps, of_states, upstream):
    """Gradients of `of_steps · of_states`, in the states and in the steps.

    Args:
        of_steps: `(batch, time, 1)`.
        of_states: `(2·n,)`.
        upstream: `(batch, time, 2·n)`.
    """
    in_steps = exact_product(upstream, of_states[:, None])
    in_states = exact_product(ops.swapaxes(of_steps, 1, 2), upstream)
    return ops.sum(in_states, axis=(0, 1)), in_steps


def _curve(step_sizes):
    return 0.5 * step_sizes * (step_sizes - 3.0)


def _is_tiny(polar):
    """1 where λ is 1, as far as its powers tell, else 0."""
    log_modulus, angle = polar
    square = log_modulus * log_modulus + angle * angle
    return ops.cast(square < _TINY, log_modulus.dtype)


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
    keeps = () if keep is None else (ops.cast(keep, b.dtype),)
    begun = () if keep is None or reset_to is None else (reset_to,)

    def solve(polar, step_sizes, b, initial, *restarts):
        a, added = irregular_step(polar, step_sizes, b, hold)
        keeps, begun = restarts[:1], restarts[1:]
        if begun:
            added = begin_with(begun[0], keeps[0], a, added)
        return recurrence.solve(kept(a, *keeps), added, initial)

    def pull_back(polar, d_states, states, step_sizes, b, initial, *restarts):
        keeps, begun = restarts[:1], restarts[1:]
        power, gain = _power_and_gain(polar, step_sizes, hold)
        a = pack(power)
        d_a, d_added, d_initial = recurrence.pull_back(
            kept(a, *keeps), initial, states, d_states
        )
        d_a = kept(d_a, *keeps)
        d_begun = []
        if begun:
            d_more, d_begun = vector_jacobian_product(
                lambda x: begin_with(x[1], keeps[0], x[0], ops.zeros_like(b)),
                (a, *begun),
                d_added,
            )
            d_a, d_begun = d_a + d_more, [d_begun]
        *d_polar, d_sizes, d_b = _pull_back_step(
            polar, step_sizes, b, power, gain, d_a, d_added
        )
        by_row = d_sizes, d_b, d_initial, *map(ops.zeros_like, keeps), *d_begun
        return d_polar, by_row

    def forward(log_modulus, angle, *by_row):
        polar = Polar(log_modulus, angle)
        _, (states,) = in_pieces(lambda *rows: ((), [solve(polar, *rows)]), by_row)
        return states, (log_modulus, angle, states, *by_row)

    def backward(saved, d_states):
        polar, by_row = Polar(*saved[:2]), (d_states, *saved[2:])
        d_polar, d_rows = in_pieces(functools.partial(pull_back, polar), by_row)
        return *d_polar, *d_rows

    return function_with_gradient(forward, backward)(
        *polar, step_sizes, b, initial_state, *keeps, *begun
    )


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
