"""The recurrence x ← a ⊙ x + b_t of single steps: states *after* each of them.

States `before` each step, which blocks need, would be a copy of these. Two algorithms:

- `sequential`: a loop that writes the states over its inputs. What is written needs
  what is read there, so that a compiler runs it in the memory of the inputs.
- `pallas`: a kernel.

States are packed (see `complex`).
"""

from functools import partial

import keras
from keras import ops

from keras_lru.backend import (
    as_program,
    differentiated_as,
    function_with_gradient,
    recurrence_kernel,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Polar, conjugate, pack, unpack
from keras_lru.ops.sequences import final_step, shift
from keras_lru.ops.time_invariant import Coefficient, states_after, states_before


def states_of_steps(
    a: Coefficient,
    b: Tensor,
    initial_state: Tensor,
    algorithm: str,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """State after each step, and after the last, of `x ← a·x + b_t`.

    Only where `keras_lru.ops.algorithm.takes_single_steps` says so.

    Args:
        a: The coefficient, `(n,)`.
        b: Inputs, packed, `(batch, time, 2·n)`, of one step at least.
        initial_state: State before the first step, packed, `(batch, 2·n)`.
        algorithm: `"sequential"` or `"pallas"`.
        reverse: If true, time runs from the last step to the first.

    Returns:
        `(states, last)`: `(batch, time, 2·n)` and `(batch, 2·n)`.
    """
    run, run_back = _RUN[algorithm]

    def forward(value, log_modulus, angle, b, initial_state):
        solve = differentiated_as(
            partial(run, reverse=reverse),
            partial(_states_in_chunks, stride=a.stride, reverse=reverse),
        )
        states, last = solve(value, log_modulus, angle, b, initial_state)
        return (states, last), (value, log_modulus, angle, initial_state, states)

    def backward(saved, d_states, d_last):
        _, log_modulus, angle, *_ = saved
        adjoints = differentiated_as(
            partial(run_back, reverse=reverse),
            partial(_adjoints_in_chunks, stride=a.stride, reverse=reverse),
        )
        d_value, d_b, d_initial = adjoints(*saved, d_states, d_last)
        zeros = ops.zeros_like(log_modulus), ops.zeros_like(angle)
        return d_value, *zeros, d_b, d_initial

    return function_with_gradient(forward, backward)(
        pack(a.value), *a.polar, b, initial_state
    )


# Loops


@as_program
def _states(value, log_modulus, angle, b, initial_state, *, reverse):
    del log_modulus, angle
    direct, cross = _factor(value)

    def step(i, carry):
        x, states = carry
        t = _time(states, i, reverse)
        x = direct * x + cross * _swap(x) + _read(states, t)
        return x, _write(states, t, x)

    start = _in_halves(initial_state), _in_halves(b)
    last, states = ops.fori_loop(0, ops.shape(b)[1], step, start)
    return _joined(states), _joined(last)


@as_program
def _adjoints(
    value, log_modulus, angle, initial_state, states, d_states, d_last, *, reverse
):
    """Gradients for `value`, `b` and `initial_state`.

    `g_t = conj(a)·g_(t+1) + d_t`, the gradient for `b_t`; that for `a` is the sum of
    `conj(x_t)·g_(t+1)`, of which a step adds its own where it has read both.
    """
    del log_modulus, angle
    direct, cross = _factor(value)
    states, d_states, last, initial = map(
        _in_halves, (states, d_states, d_last, initial_state)
    )

    # Of half precision a sum over time would lose what it adds.
    wide = keras.backend.result_type(value.dtype, "float32")

    def add(x, g, sums):
        x, g = ops.cast(x, wide), ops.cast(g, wide)
        return sums[0] + x * g, sums[1] + x * _swap(g)

    def decayed(g):
        return direct * g - cross * _swap(g)

    # What enters from behind is not decayed: before the loop it would take a copy.
    def step(i, carry):
        g, gradients, *sums = carry
        t = _time(gradients, i, not reverse)
        sums = add(_read(states, t), g, sums)
        entering = ops.where(i == 0, last, zeros)
        g = decayed(g) + (_read(gradients, t) + entering)
        return g, _write(gradients, t, g), *sums

    zeros = ops.zeros_like(last)
    sums = [ops.cast(zeros, wide)] * 2
    g, gradients, *sums = ops.fori_loop(
        0, ops.shape(d_states)[1], step, (zeros, d_states, *sums)
    )
    same, crossed = (ops.sum(x, axis=0) for x in add(initial, g, sums))
    d_value = ops.concatenate([same[0] + same[1], crossed[0] - crossed[1]])
    d_value = ops.cast(d_value, value.dtype)
    return d_value, _joined(gradients), _joined(decayed(g))


# Kernels: what enters the first step is not decayed.


def _states_by_kernel(value, log_modulus, angle, b, initial_state, *, reverse):
    del log_modulus, angle
    entering = pack(unpack(value) * unpack(initial_state))
    return recurrence_kernel(value, b, entering, 2, reverse, after=True)


def _adjoints_by_kernel(
    value, log_modulus, angle, initial_state, states, d_states, d_last, *, reverse
):
    del log_modulus, angle
    value = conjugate(unpack(value))
    gradients, first = recurrence_kernel(
        pack(value), d_states, d_last, 2, not reverse, after=True
    )
    d_value = _sum_of_products(states, initial_state, gradients, reverse)
    return d_value, gradients, pack(value * unpack(first))


def _sum_of_products(states, initial_state, gradients, reverse):
    """Gradient for `a`: the sum of what steps started from, times their adjoints."""
    started_from = conjugate(unpack(shift(states, initial_state, reverse)))
    products = started_from * unpack(gradients)
    return pack(products.map(lambda x: ops.sum(x, axis=(0, 1))))


# The same by functions that are differentiated themselves.


def _states_in_chunks(value, log_modulus, angle, b, initial_state, *, stride, reverse):
    coefficient = Coefficient(unpack(value), Polar(log_modulus, angle), stride)
    before, last = states_before(coefficient, b, initial_state, "chunked", reverse)
    return states_after(before, last, reverse), last


def _adjoints_in_chunks(
    value,
    log_modulus,
    angle,
    initial_state,
    states,
    d_states,
    d_last,
    *,
    stride,
    reverse,
):
    polar = Polar(log_modulus, angle)
    coefficient = Coefficient(unpack(value), polar, stride).conjugate()
    rest = d_states[:, 1:] if reverse else d_states[:, :-1]
    final = ops.expand_dims(final_step(d_states, reverse) + d_last, 1)
    d_states = ops.concatenate([final, rest] if reverse else [rest, final], axis=1)
    gradients, first = _states_in_chunks(
        pack(coefficient.value),
        *coefficient.polar,
        d_states,
        ops.zeros_like(d_last),
        stride=stride,
        reverse=not reverse,
    )
    d_value = _sum_of_products(states, initial_state, gradients, reverse)
    return d_value, gradients, pack(coefficient.value * unpack(first))


# Two halves as rows of a matrix: exchanging them is then free.


def _in_halves(x):
    """Packed numbers `(…, 2·n)` as `(…, 2, n)`."""
    shape = ops.shape(x)
    return ops.reshape(x, (*shape[:-1], 2, x.shape[-1] // 2))


def _joined(x):
    shape = ops.shape(x)
    return ops.reshape(x, (*shape[:-2], 2 * x.shape[-1]))


def _swap(x):
    return ops.flip(x, axis=-2)


def _factor(value):
    """`(direct, cross)`: `a · x` is `direct · x + cross · swap(x)`."""
    real, imag = unpack(value)
    return ops.stack([real, real]), ops.stack([-imag, imag])


def _time(x, i, reverse):
    """The step that is visited `i`-th."""
    return ops.shape(x)[1] - 1 - i if reverse else i


def _read(x, t):
    batch, _, halves, n = ops.shape(x)
    return ops.slice(x, (0, t, 0, 0), (batch, 1, halves, n))[:, 0]


def _write(x, t, new):
    return ops.slice_update(x, (0, t, 0, 0), ops.expand_dims(new, 1))


_RUN = {
    "sequential": (_states, _adjoints),
    "pallas": (_states_by_kernel, _adjoints_by_kernel),
}
