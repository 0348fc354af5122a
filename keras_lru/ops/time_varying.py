"""The recurrence x ← a_t ⊙ x + b_t for a coefficient that varies in time.

Time is axis 1. Numbers are real, or complex and packed (see `complex`). The gradient is
written by hand: the same recurrence backwards, with the conjugate coefficients.
"""

from keras import ops

from keras_lru.backend import (
    function_with_gradient,
    loop_over_time,
    recurrence_kernel,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.algorithm import resolve_scan
from keras_lru.ops.associative_scan import associative_scan
from keras_lru.ops.complex import conjugate, pack, unpack
from keras_lru.ops.sequences import shift, static_size
from keras_lru.ops.time_invariant import states_after


def varying_states(
    a: Tensor,
    b: Tensor,
    initial_state: Tensor,
    scan: str,
    is_complex: bool,
    reverse: bool = False,
    has_cuts: bool = False,
) -> Tensor:
    """State after each step of `x ← a_t ⊙ x + b_t`.

    Args:
        a: Coefficients, `(batch, time, features)`.
        b: Inputs, the same, of one step at least.
        initial_state: State before the first step, `(batch, features)`.
        scan: As of `linear_recurrence`.
        is_complex: Whether features are packed complex numbers.
        reverse: If true, time runs from the last step to the first.
        has_cuts: Whether a coefficient of exactly zero cuts: no infinity and no NaN
            passes it either.

    Returns:
        `(batch, time, features)`.
    """
    # By one step: what a longer loop costs, the associative scan costs in products.
    scan = resolve_scan(scan, None if static_size(b, 1) is None else 1)
    if scan == "pallas" and static_size(b, 0) is not None:
        run = _in_kernel
    else:
        run = _sequential if scan == "sequential" else _associative
    numbers = _Numbers(is_complex, has_cuts)
    return _states(numbers, run, a, b, initial_state, reverse)


class _Numbers:
    """Arithmetic of tensors of numbers, complex and packed or real."""

    def __init__(self, is_complex, has_cuts):
        self.parts = 2 if is_complex else 1
        self.has_cuts = has_cuts

    def take(self, x):
        """`Complex` numbers of a packed tensor; real ones are themselves."""
        return unpack(x) if self.parts == 2 else x

    def times(self, a, x):
        """The product, zero where `a` is if that cuts."""
        product = a * x
        if not self.has_cuts:
            return product
        if self.parts == 1:
            return ops.where(a == 0, ops.zeros_like(product), product)
        cut = ops.logical_and(a.real == 0, a.imag == 0)
        return product.map(lambda y: ops.where(cut, ops.zeros_like(y), y))

    def conjugate(self, x):
        """The conjugate of a tensor."""
        return pack(conjugate(self.take(x)))


def _states(numbers, run, a, b, initial, reverse):
    """Differentiated by hand as often as asked for."""

    def forward(a, b, initial):
        states = run(numbers, a, b, initial, reverse)
        return states, (a, initial, states)

    def backward(kept, d_states):
        a, initial, states = kept
        zeros = ops.zeros_like(initial)
        # Same recurrence backwards; step t meets the coefficient of step t + 1.
        later = numbers.conjugate(shift(a, zeros, not reverse))
        adjoints = _states(numbers, run, later, d_states, zeros, not reverse)
        before, after = shift(states, initial, reverse), numbers.take(adjoints)
        d_a = pack(conjugate(numbers.take(before)) * after)
        d_initial = pack(numbers.times(conjugate(numbers.take(a)), after))
        return d_a, adjoints, d_initial[:, -1 if reverse else 0]

    return function_with_gradient(forward, backward)(a, b, initial)


# Algorithms


def _sequential(numbers, a, b, initial, reverse):
    n = b.shape[-1]
    take = numbers.take

    def step(state, coefficient_and_input):
        a_t, b_t = coefficient_and_input[:, :n], coefficient_and_input[:, n:]
        return pack(numbers.times(take(a_t), take(state)) + take(b_t))

    xs = ops.concatenate([a, b], axis=-1)
    return states_after(*loop_over_time(step, initial, xs, reverse), reverse)


def _associative(numbers, a, b, initial, reverse):
    take = numbers.take

    def combine(earlier, later):
        a_1, b_1 = earlier
        a_2, b_2 = later
        return numbers.times(a_2, a_1), numbers.times(a_2, b_1) + b_2

    decay, states = associative_scan(
        combine, (take(a), take(b)), reverse=reverse, axis=1
    )
    return pack(numbers.times(decay, take(initial[:, None])) + states)


def _in_kernel(numbers, a, b, initial, reverse):
    before, last = recurrence_kernel(a, b, initial, numbers.parts, reverse)
    return states_after(before, last, reverse)
