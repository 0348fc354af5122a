"""The recurrence x ← a ⊙ x + b for a coefficient that does not depend on time.

Since `a` is constant a scan need not carry it: elements a distance `s` apart combine
as `a**s · earlier + later`, and the powers come from the polar form of `a`. Time is
axis 1; states are packed (see `complex`).

Four algorithms compute the same thing:

- `sequential`: a loop over time. Least memory traffic; one loop step per element.
- `chunked`: loops run side by side in all chunks of time, then over the chunks; where
  there are many, over these in the same way.
- `associative`: chunks of chunks, down to one. No loop at all, logarithmic depth.
- `pallas`: a kernel written for GPUs and TPUs, on JAX.

They share one hand-written gradient, which is the same recurrence run backwards with
the conjugate coefficient, and which keeps nothing but the states.
"""

from collections.abc import Sequence
from typing import NamedTuple

from keras import ops

from keras_lru.backend import (
    function_with_gradient,
    packed_loop,
    recurrence_kernel,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Complex, Polar, conjugate, pack, unpack
from keras_lru.ops.sequences import pad_time, shift, static_size

ALGORITHMS = ("sequential", "chunked", "associative", "pallas")
CHUNK = 16
MANY_CHUNKS = 64
RADIX = 4


class Coefficient(NamedTuple):
    """A constant coefficient `a`, and where its powers come from.

    Attributes:
        value: `a`, `(n,)`. The gradient flows through this form.
        polar: Numbers, `(n,)`, with `a = polar ** stride`; for the values of powers.
        stride: Positive integer.
    """

    value: Complex
    polar: Polar
    stride: int = 1

    def powers(self, exponents: Sequence[int]) -> Complex:
        """Powers by positive integers, `(len(exponents), n)`."""
        return self.polar.powers(exponents, self.stride)

    def conjugate(self) -> "Coefficient":
        """The conjugate coefficient."""
        return Coefficient(conjugate(self.value), self.polar.conjugate(), self.stride)


def states_before(
    a: Coefficient,
    b: Tensor,
    initial_state: Tensor,
    algorithm: str,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """State before each step, and after the last, of `x ← a·x + b_t`.

    Args:
        a: The coefficient, `(n,)`.
        b: Inputs, packed, `(batch, time, 2·n)`, of one step at least.
        initial_state: State before the first step, packed, `(batch, 2·n)`.
        algorithm: One of `ALGORITHMS`. `"associative"` and
            `"pallas"` need a static length.
        reverse: If true, time runs from the last step to the first.

    Returns:
        `(before, last)`: `(batch, time, 2·n)`, where `before[:, t]` is the state that
        step `t` started from, and `(batch, 2·n)`, the state after all steps.
    """
    run = _RUN[algorithm]

    def coefficient(value, log_modulus, angle):
        return Coefficient(unpack(value), Polar(log_modulus, angle), a.stride)

    def forward(value, log_modulus, angle, b, initial_state):
        before, last = run(
            coefficient(value, log_modulus, angle), b, initial_state, reverse
        )
        return (before, last), (value, log_modulus, angle, before)

    def backward(kept, d_before, d_last):
        *coefficients, before = kept
        # The adjoint obeys the same recurrence, backwards, with conj(a).
        adjoints, d_initial = states_before(
            coefficient(*coefficients).conjugate(),
            d_before,
            d_last,
            algorithm,
            not reverse,
        )
        products = conjugate(unpack(before)) * unpack(adjoints)
        d_value = pack(products.map(lambda x: ops.sum(x, axis=(0, 1))))
        zeros = ops.zeros_like(coefficients[1])
        return d_value, zeros, zeros, adjoints, d_initial

    return function_with_gradient(forward, backward)(
        pack(a.value), *a.polar, b, initial_state
    )


def states_after(before: Tensor, last: Tensor, reverse: bool = False) -> Tensor:
    """State after each step, from the states before each step and after all."""
    return shift(before, last, not reverse)


# Products of packed numbers: of few with many, without taking the many apart.


def _swap(x):
    """Exchange real and imaginary parts."""
    real, imag = unpack(x)
    return ops.concatenate([imag, real], axis=-1)


def _factor(a):
    """`(direct, cross)`: `a · x` is `direct · x + cross · swap(x)`, for packed `x`."""
    direct = ops.concatenate([a.real, a.real], axis=-1)
    return direct, ops.concatenate([-a.imag, a.imag], axis=-1)


def _step(a):
    """`(x, b) → a · x + b` for packed `x` and `b`."""
    direct, cross = _factor(a.value)
    return lambda x, b: direct * x + cross * _swap(x) + b


# Algorithms


def _sequential(a, b, state, reverse):
    return packed_loop(_step(a), a.value, state, b, reverse)


def _chunked(a, b, state, reverse):
    length = static_size(b, 1)
    if length is not None and length <= CHUNK:
        return _unrolled(a, b, state, reverse)
    # Of many chunks a loop over them would be the slower part.
    many = length is not None and length > CHUNK * MANY_CHUNKS
    return _in_chunks(a, b, state, reverse, CHUNK, _chunked if many else _sequential)


def _associative(a, b, state, reverse):
    if b.shape[1] <= RADIX:
        return _unrolled(a, b, state, reverse)
    return _in_chunks(a, b, state, reverse, RADIX, _associative)


def _pallas(a, b, state, reverse):
    if static_size(b, 0) is None:
        # A kernel is made for one number of sequences.
        return _associative(a, b, state, reverse)
    return recurrence_kernel(pack(a.value), b, state, 2, reverse)


_RUN = dict(
    zip(ALGORITHMS, (_sequential, _chunked, _associative, _pallas), strict=True)
)


def _in_time(x, reverse):
    """A list in the direction of time, or back in the order of the tensor."""
    return x[::-1] if reverse else x


def _unrolled(a, b, state, reverse):
    step = _step(a)
    before = []
    for b_t in _in_time(ops.unstack(b, static_size(b, 1), axis=1), reverse):
        before.append(state)
        state = step(state, b_t)
    return ops.stack(_in_time(before, reverse), axis=1), state


def _in_chunks(a, b, state, reverse, size, scan_chunks):
    """One level of the scan: inside all chunks at once, over them, and back in."""
    batch, length, features = ops.shape(b)
    count = -(-length // size)
    padded = pad_time(b, count * size - length, at_front=reverse)
    padded = ops.reshape(padded, (batch, count, size, features))

    step = _step(a)
    local, *rest = _in_time(ops.unstack(padded, size, axis=2), reverse)
    inside = [local]
    for x in rest:
        inside.append(step(inside[-1], x))
    powers = a.powers(range(1, size + 1))
    whole = powers.map(lambda x: x[-1])
    a_chunk = Coefficient(whole, a.polar, size * a.stride)
    before, _ = scan_chunks(a_chunk, inside[-1], state, reverse)
    # What a chunk starts from decays inside it.
    swapped = _swap(before)
    steps = [before]
    factors = _factor(powers.map(lambda x: x[:-1]))
    factors = (ops.unstack(x, size - 1) for x in factors)
    for x, direct, cross in zip(inside, *factors, strict=False):
        steps.append(x + direct * before + cross * swapped)
    before = ops.stack(_in_time(steps, reverse), axis=2)
    before = ops.reshape(before, (batch, count * size, features))
    start = count * size - length if reverse else 0
    before = before[:, start : start + length]
    final = 0 if reverse else -1
    return before, step(before[:, final], b[:, final])
