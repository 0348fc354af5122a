"""The recurrence x ← a ⊙ x + b for a coefficient that does not depend on time.

Since `a` is constant a scan need not carry it: elements a distance `s` apart combine
as `a**s · earlier + later`, and the powers come from the polar form of `a`. Time is
axis 1; states are packed (see `complex`).

Four algorithms compute the same thing:

- `sequential`: a loop over time. Least memory traffic; one loop step per element.
- `chunked`: steps run side by side in all chunks of time, then over the chunks in the
  same way. No loop over time; where the length is unknown, over chunks by doubling.
- `associative`: the same in chunks as small as can be, of logarithmic depth.
- `pallas`: a kernel written for GPUs and TPUs, on JAX.

They share one hand-written gradient, which is the same recurrence run backwards with
the conjugate coefficient, and which keeps nothing but the states.
"""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from keras import ops

from keras_lru.backend import (
    all_time_shards,
    doubling_loop,
    function_with_gradient,
    loop_over_time,
    of_time_shard,
    over_time_shards,
    packed_loop,
    recurrence_kernel,
    time_shards,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Complex, Polar, conjugate, pack, unpack
from keras_lru.ops.sequences import (
    final_step,
    in_time,
    is_split,
    kept,
    pad_time,
    pad_to_shards,
    shift,
    static_size,
    without_padding,
)

ALGORITHMS = ("sequential", "chunked", "associative", "pallas")
CHUNK = 16
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
        """Powers by non-negative integers, `(len(exponents), n)`."""
        return self.polar.powers(exponents, self.stride)

    def power(self, exponent: Tensor) -> Complex:
        """The power by an integer that is known when it runs, `(n,)`."""
        exponent = ops.cast(exponent, self.polar.log_modulus.dtype)
        return self.polar.real_power(exponent * self.stride)

    def conjugate(self) -> "Coefficient":
        """The conjugate coefficient."""
        return Coefficient(conjugate(self.value), self.polar.conjugate(), self.stride)


def states_before(
    a: Coefficient,
    b: Tensor,
    initial_state: Tensor,
    algorithm: str,
    reverse: bool = False,
    keep: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """State before each step, and after the last, of `x ← a·x + b_t`.

    Args:
        a: The coefficient, `(n,)`.
        b: Inputs, packed, `(batch, time, 2·n)`, of one step at least.
        initial_state: State before the first step, packed, `(batch, 2·n)`.
        algorithm: One of `ALGORITHMS`, or `"doubling"`, which `"chunked"` uses where
            the length is unknown. `"associative"` and `"pallas"` need a static length.
        reverse: If true, time runs from the last step to the first.
        keep: Boolean `(batch, time, 1)`: where false, the step starts from zero and
            not from the state before it. `None` means nowhere.

    Returns:
        `(before, last)`: `(batch, time, 2·n)`, where `before[:, t]` is the state that
        step `t` found, and `(batch, 2·n)`, the state after all steps.
    """
    # A number beside the others: it is no constant of what a backend differentiates.
    keeps = () if keep is None else (ops.cast(keep, b.dtype),)
    return _before_and_last(a, b, initial_state, keeps, algorithm, reverse)


def _before_and_last(a, b, initial_state, keeps, algorithm, reverse):
    run = _RUN[algorithm]
    if is_split(b):
        run = partial(_in_stretches, run)

    def coefficient(value, log_modulus, angle):
        return Coefficient(unpack(value), Polar(log_modulus, angle), a.stride)

    def forward(value, log_modulus, angle, b, initial_state, *keeps):
        before, last = run(
            coefficient(value, log_modulus, angle),
            b,
            initial_state,
            reverse,
            *(keeps or (None,)),
        )
        return (before, last), (value, log_modulus, angle, before, *keeps)

    def backward(saved, d_before, d_last):
        value, log_modulus, angle, before, *keeps = saved
        # The adjoint obeys the same recurrence, backwards, with conj(a).
        adjoints, d_initial = _before_and_last(
            coefficient(value, log_modulus, angle).conjugate(),
            d_before,
            d_last,
            keeps,
            algorithm,
            not reverse,
        )
        started_from = kept(before, *keeps)
        products = conjugate(unpack(started_from)) * unpack(adjoints)
        d_value = pack(products.map(lambda x: ops.sum(x, axis=(0, 1))))
        zeros = ops.zeros_like(log_modulus)
        no_gradient = [ops.zeros_like(x) for x in keeps]
        return d_value, zeros, zeros, adjoints, d_initial, *no_gradient

    return function_with_gradient(forward, backward)(
        pack(a.value), *a.polar, b, initial_state, *keeps
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


def _sequential(a, b, state, reverse, keep):
    step = _step(a)
    if keep is None:
        return packed_loop(step, a.value, state, b, reverse)
    return loop_over_time(
        lambda x, b_t, keep_t: step(kept(x, keep_t), b_t), state, [b, keep], reverse
    )


def _chunked(a, b, state, reverse, keep):
    length = static_size(b, 1)
    if length is not None and length <= CHUNK:
        return _unrolled(a, b, state, reverse, keep)
    over = _doubling if length is None else _chunked
    return _in_chunks(a, b, state, reverse, keep, CHUNK, over)


def _associative(a, b, state, reverse, keep):
    if b.shape[1] <= RADIX:
        return _unrolled(a, b, state, reverse, keep)
    return _in_chunks(a, b, state, reverse, keep, RADIX, _associative)


def _pallas(a, b, state, reverse, keep):
    if static_size(b, 0) is None:
        # A kernel is made for one number of sequences.
        return _associative(a, b, state, reverse, keep)
    value = pack(a.value)
    if keep is not None:
        # In a kernel, a coefficient of exactly zero cuts.
        value = ops.where(keep > 0, value, ops.zeros_like(b))
    return recurrence_kernel(value, b, state, 2, reverse)


def _unstack(x, size, axis, reverse):
    """Steps in the direction of time; of `None`, as many of it."""
    if x is None:
        return [None] * size
    return in_time(ops.unstack(x, size, axis=axis), reverse)


def _unrolled(a, b, state, reverse, keep):
    step = _step(a)
    length = static_size(b, 1)
    before = []
    for b_t, keep_t in zip(
        _unstack(b, length, 1, reverse), _unstack(keep, length, 1, reverse), strict=True
    ):
        before.append(state)
        state = step(kept(state, keep_t), b_t)
    return ops.stack(in_time(before, reverse), axis=1), state


def _doubling(a, b, state, reverse, keep):
    """Each step adds what is left of the one `reach` before it, which doubles.

    The loop carries tensors of fixed shapes and collects nothing: all formats have it.
    """
    length = ops.shape(b)[1]
    steps = ops.arange(0, length, dtype="int32")
    in_order = length - 1 - steps if reverse else steps

    def double(reach, states, *reached):
        has_earlier = in_order >= reach
        source = steps + reach if reverse else steps - reach
        source = ops.where(has_earlier, source, steps)
        has_earlier = has_earlier[None, :, None]
        if reached:
            of_earlier = ops.take(reached[0], source, axis=1)
            has_earlier = ops.logical_and(has_earlier, reached[0] > 0)
            reached = (reached[0] * of_earlier,)
        direct, cross = _factor(a.power(reach))
        earlier = ops.take(states, source, axis=1)
        left = direct * earlier + cross * _swap(earlier)
        left = ops.where(has_earlier, left, ops.zeros_like(left))
        return (reach * 2, states + left, *reached)

    reached = () if keep is None else (shift(keep, ops.ones_like(keep[:, 0]), reverse),)
    first = (ops.convert_to_tensor(1, dtype="int32"), shift(b, state, reverse))
    _, before, *_ = doubling_loop(
        lambda reach, *_: reach < length, double, (*first, *reached)
    )
    found = final_step(before, reverse)
    if keep is not None:
        found = kept(found, final_step(keep, reverse))
    return before, _step(a)(found, final_step(b, reverse))


def _in_chunks(a, b, state, reverse, keep, size, scan_chunks):
    """One level of the scan: inside all chunks at once, over them, and back in."""
    batch, length, features = ops.shape(b)
    # Not of negative numbers, which ONNX divides towards zero.
    count = (length + size - 1) // size

    def cut(x):
        if x is None:
            return None
        x = pad_time(x, count * size - length, at_front=reverse)
        return ops.reshape(x, (batch, count, size, x.shape[-1]))

    step = _step(a)
    inputs = _unstack(cut(b), size, 2, reverse)
    keeps = _unstack(cut(keep), size, 2, reverse)
    inside, reach = [inputs[0]], [keeps[0]]
    for x, keep_x in zip(inputs[1:], keeps[1:], strict=True):
        inside.append(step(kept(inside[-1], keep_x), x))
        # What the chunk starts from gets so far if every step keeps it.
        reach.append(None if keep is None else reach[-1] * keep_x)
    powers = a.powers(range(1, size + 1))
    whole = powers.map(lambda x: x[-1])
    a_chunk = Coefficient(whole, a.polar, size * a.stride)
    before, _ = scan_chunks(a_chunk, inside[-1], state, reverse, reach[-1])
    # What a chunk starts from decays inside it.
    swapped = _swap(before)
    steps = [before]
    factors = _factor(powers.map(lambda x: x[:-1]))
    factors = (ops.unstack(x, size - 1) for x in factors)
    for x, direct, cross, reached in zip(inside, *factors, reach, strict=False):
        steps.append(x + kept(direct * before + cross * swapped, reached))
    before = ops.stack(in_time(steps, reverse), axis=2)
    before = ops.reshape(before, (batch, count * size, features))
    start = count * size - length if reverse else 0
    before = before[:, start : start + length]
    final = 0 if reverse else -1
    found = before[:, final] if keep is None else kept(before[:, final], keep[:, final])
    return before, step(found, b[:, final])


_RUN = {
    "sequential": _sequential,
    "chunked": _chunked,
    "associative": _associative,
    "pallas": _pallas,
    "doubling": _doubling,
}


# Over several devices


def _in_stretches(run, a, b, state, reverse, keep):
    """A stretch of time on each device, which exchange the states that theirs end in.

    The states that stretches start from obey the recurrence too: each device solves it,
    over as many steps as there are devices, and adds what its own stretch keeps of it.
    """
    length, count = b.shape[1], -(-b.shape[1] // time_shards())

    def each(split, rows, whole):
        b, keep = (*split, None)[:2]
        (state,) = rows
        value, *polar = whole
        local = Coefficient(unpack(value), Polar(*polar), a.stride)
        before, end = run(local, b, ops.zeros_like(state), reverse, keep)
        reached = None
        if keep is not None:
            reached = all_time_shards(ops.min(keep, axis=1, keepdims=True))
        ends = all_time_shards(end[:, None])
        over = _of_steps(local, count)
        starts, last = _chunked(over, ends, state, reverse, reached)
        left = _decayed(local, of_time_shard(starts), count, reverse)
        return [before + kept(left, _until_cut(keep, reverse))], [last]

    split = [pad_to_shards(x, reverse) for x in (b, keep) if x is not None]
    (before,), (last,) = over_time_shards(
        each, split, [state], [pack(a.value), *a.polar]
    )
    before = without_padding(before, length, reverse)
    if length % time_shards():
        # After the padding it is another.
        found = final_step(before, reverse)
        if keep is not None:
            found = kept(found, final_step(keep, reverse))
        last = _step(a)(found, final_step(b, reverse))
    return before, last


def _of_steps(a, count):
    """The coefficient of `count` steps as one."""
    value = a.powers([count]).map(lambda x: x[0])
    return Coefficient(value, a.polar, count * a.stride)


def _decayed(a, state, length, reverse):
    """What is left of a state `(batch, 1, 2·n)` before each of `length` steps.

    Powers are products of two, of which there are few: all are on their way only.
    """
    size = 1 << (length.bit_length() + 1) // 2
    count = -(-length // size)
    fine = a.powers(in_time([*range(size)], reverse))
    coarse = _of_steps(a, size).powers(in_time([*range(count)], reverse))
    starts = pack(coarse * unpack(state))[:, :, None]
    direct, cross = _factor(fine)
    left = direct * starts + cross * _swap(starts)
    left = ops.reshape(left, (-1, count * size, state.shape[-1]))
    return without_padding(left, length, reverse)


def _until_cut(keep, reverse):
    """Whether a step finds something of the first state; `None` if all of them do."""
    if keep is None:
        return None
    length = keep.shape[1]
    steps = ops.arange(0, length, dtype="int32")[None, :, None]
    steps = length - 1 - steps if reverse else steps
    first = ops.min(ops.where(keep > 0, length, steps), axis=1, keepdims=True)
    return ops.cast(steps <= first, keep.dtype)
