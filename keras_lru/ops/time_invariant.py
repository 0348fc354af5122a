"""The recurrence x ← a ⊙ x + b for a coefficient that does not depend on time.

Since `a` is constant a scan need not carry it: elements a distance `s` apart combine
as `a**s · earlier + later`, and the powers come from the polar form of `a`. Time is
axis 1; everything is packed (see `complex`).

Three algorithms compute the same thing:

- `sequential`: a loop over time. Least memory traffic; one loop step per element.
- `chunked`: loops run side by side in all chunks of time, then over the chunks; where
  there are many, over these in the same way.
- `associative`: chunks of chunks, down to one. No loop at all, logarithmic depth.

They share one hand-written gradient, which is the same recurrence run backwards with
the conjugate coefficient, and which keeps nothing but the states.
"""

from keras import ops, tree

from keras_lru.ops import complex as cx
from keras_lru.ops.backend import (
    differentiates_loops,
    loop_over_time,
    static_size,
)
from keras_lru.ops.gradients import custom_gradient

ALGORITHMS = ("sequential", "chunked", "associative")
CHUNK = 16
MANY_CHUNKS = 64
RADIX = 4


def entry_states(
    a, log_modulus, angle, b, initial_state, algorithm, stride=1, reverse=False
):
    """State before each step, and after the last, of `x ← a·x + b_t`.

    Args:
        a: Coefficient, packed, `(2·n,)`. The gradient flows through this form.
        log_modulus: `a = exp(stride · (log_modulus + i·angle))`, `(n,)`; used for the
            values of powers only.
        angle: See `log_modulus`, `(n,)`.
        b: Inputs, packed, `(batch, time, 2·n)`, of one step at least.
        initial_state: State before the first step, packed, `(batch, 2·n)`.
        algorithm: One of `ALGORITHMS`. `"associative"` needs a static length.
        stride: Positive integer, see `log_modulus`.
        reverse: If true, time runs from the last step to the first.

    Returns:
        `(entries, last)`: `(batch, time, 2·n)`, where `entries[:, t]` is the state that
        step `t` started from, and `(batch, 2·n)`, the state after all steps.
    """
    run = {"sequential": _sequential, "chunked": _chunked, "associative": _associative}[
        algorithm
    ]

    def solve(a, log_modulus, angle, b, initial_state, reverse=reverse):
        powers = _powers(log_modulus, angle, stride)
        return run(a, powers, b, initial_state, reverse)

    def solve_adjoint(*arguments):
        if differentiates_loops():
            # SavedModels cannot hold a custom gradient of a custom gradient.
            return solve(*arguments, not reverse)
        return entry_states(*arguments, algorithm, stride, not reverse)

    @custom_gradient
    def recurrence(a, log_modulus, angle, b, initial_state):
        entries, last = solve(a, log_modulus, angle, b, initial_state)

        def gradient(*upstream):
            d_entries, d_last = tree.flatten(upstream)
            # The adjoint obeys the same recurrence, backwards, with conj(a).
            adjoints, d_initial = solve_adjoint(
                cx.conjugate(a), log_modulus, -angle, d_entries, d_last
            )
            direct_re, direct_im = cx.unpack(ops.sum(adjoints * entries, axis=(0, 1)))
            cross_re, cross_im = cx.unpack(
                ops.sum(adjoints * cx.swap(entries), axis=(0, 1))
            )
            d_a = cx.pack(direct_re + direct_im, cross_im - cross_re)
            zeros = ops.zeros_like(log_modulus)
            return d_a, zeros, zeros, adjoints, d_initial

        return (entries, last), gradient

    return recurrence(a, log_modulus, angle, b, initial_state)


def _powers(log_modulus, angle, stride):
    """`powers(exponents, times)`: packed `a**(times·j)`, `(len(exponents), 2·n)`."""
    return lambda exponents, times=1: cx.powers(
        log_modulus, angle, exponents, stride * times
    )


def _sequential(a, powers, b, state, reverse):
    del powers
    direct, cross = cx.factor(a)

    def step(state, b_t):
        return direct * state + cross * cx.swap(state) + b_t

    return loop_over_time(step, state, b, reverse)


def _chunked(a, powers, b, state, reverse):
    length = static_size(b, 1)
    if length is not None and length <= CHUNK:
        return _unrolled(a, b, state, reverse)
    # Of many chunks a loop over them would be the slower part.
    many = length is not None and length > CHUNK * MANY_CHUNKS
    scan_chunks = _chunked if many else _sequential
    return _in_chunks(a, powers, b, state, reverse, CHUNK, scan_chunks)


def _associative(a, powers, b, state, reverse):
    if static_size(b, 1) <= RADIX:
        return _unrolled(a, b, state, reverse)
    return _in_chunks(a, powers, b, state, reverse, RADIX, _associative)


def _in_time(x, reverse):
    """A list in the direction of time, or back in the order of the tensor."""
    return x[::-1] if reverse else x


def _unrolled(a, b, state, reverse):
    direct, cross = cx.factor(a)
    entries = []
    for b_t in _in_time(ops.unstack(b, static_size(b, 1), axis=1), reverse):
        entries.append(state)
        state = direct * state + cross * cx.swap(state) + b_t
    return ops.stack(_in_time(entries, reverse), axis=1), state


def _in_chunks(a, powers, b, state, reverse, size, scan_chunks):
    """One level of the scan: inside all chunks at once, over them, and back in."""
    batch, length, features = ops.shape(b)
    count = -(-length // size)
    padded = _pad_time(b, count * size - length, at_front=reverse)
    padded = ops.reshape(padded, (batch, count, size, features))

    direct, cross = cx.factor(a)
    first, *rest = _in_time(ops.unstack(padded, size, axis=2), reverse)
    local = [first]
    for x in rest:
        local.append(direct * local[-1] + cross * cx.swap(local[-1]) + x)
    entries, _ = scan_chunks(
        powers([size])[0],
        lambda exponents, times=1: powers(exponents, size * times),
        local[-1],
        state,
        reverse,
    )
    # What a chunk starts from decays inside it.
    swapped = cx.swap(entries)
    factors = (ops.unstack(x, size - 1) for x in cx.factor(powers(range(1, size))))
    steps = [entries] + [
        x + direct * entries + cross * swapped
        for x, direct, cross in zip(local, *factors, strict=False)
    ]
    entries = ops.stack(_in_time(steps, reverse), axis=2)
    entries = ops.reshape(entries, (batch, count * size, features))
    start = count * size - length if reverse else 0
    entries = entries[:, start : start + length]
    final = 0 if reverse else -1
    return entries, cx.scale(a, entries[:, final]) + b[:, final]


def _pad_time(x, amount, at_front=False):
    """Zeros added along time; `amount` may be known at run time only."""
    if isinstance(amount, int) and amount == 0:
        return x
    zeros = ops.zeros((ops.shape(x)[0], amount, x.shape[-1]), dtype=x.dtype)
    return ops.concatenate([zeros, x] if at_front else [x, zeros], axis=1)
