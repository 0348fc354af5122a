"""The recurrence x ← a_t ⊙ x + b_t for a coefficient that varies in time.

Time is axis 1. Numbers are real, or complex and packed (see `complex`). The gradient is
written by hand: the same recurrence backwards, with the conjugate coefficients.
"""

from keras import ops

from keras_lru.backend import (
    all_time_shards,
    function_with_gradient,
    loop_over_time,
    of_time_shard,
    over_time_shards,
    recurrence_kernel,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.algorithm import resolve_varying_scan
from keras_lru.ops.associative_scan import associative_scan
from keras_lru.ops.complex import conjugate, pack, unpack
from keras_lru.ops.sequences import (
    final_step,
    in_time,
    is_split,
    pad_time,
    pad_to_shards,
    shift,
    static_size,
    without_padding,
)
from keras_lru.ops.time_invariant import states_after

# In longer ones, XLA computes what its fusions share over and over before it sees it.
CHUNK = 8


class VaryingRecurrence:
    """`x ← a_t ⊙ x + b_t`, one way of solving it.

    All its methods take `a` and `b`, `(batch, time, features)`, of one step at least.

    Args:
        scan: As of `linear_recurrence`.
        is_complex: Whether features are packed complex numbers.
        has_cuts: Whether a coefficient of exactly zero cuts: no infinity and no NaN
            passes it either.
    """

    def __init__(self, scan: str, is_complex: bool, has_cuts: bool = False):
        self.scan = scan
        self.parts = 2 if is_complex else 1
        self.has_cuts = has_cuts

    def states(
        self, a: Tensor, b: Tensor, initial_state: Tensor, reverse: bool = False
    ) -> Tensor:
        """State after each step, differentiated by hand as often as asked for.

        Args:
            a: Coefficients.
            b: Inputs.
            initial_state: State before the first step, `(batch, features)`.
            reverse: If true, time runs from the last step to the first.

        Returns:
            `(batch, time, features)`.
        """

        def forward(a, b, initial):
            states = self.solve(a, b, initial, reverse)
            return states, (a, initial, states)

        def backward(kept, d_states):
            a, initial, states = kept
            return self.pull_back(a, initial, states, d_states, reverse)

        return function_with_gradient(forward, backward)(a, b, initial_state)

    def pull_back(
        self,
        a: Tensor,
        initial_state: Tensor,
        states: Tensor,
        d_states: Tensor,
        reverse: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Gradients in `a`, `b` and the initial state.

        Args:
            a: As of `states`, and so are the others.
            initial_state: See there.
            states: What `states` returned.
            d_states: The gradient in them.
            reverse: See there.
        """
        zeros = ops.zeros_like(initial_state)
        # Same recurrence backwards; step t meets the coefficient of step t + 1.
        later = pack(conjugate(self._take(shift(a, zeros, not reverse))))
        adjoints = self.states(later, d_states, zeros, not reverse)
        before = self._take(shift(states, initial_state, reverse))
        after = self._take(adjoints)
        d_a = pack(conjugate(before) * after)
        d_initial = pack(self._times(conjugate(self._take(a)), after))
        return d_a, adjoints, final_step(d_initial, not reverse)

    def solve(
        self, a: Tensor, b: Tensor, initial_state: Tensor, reverse: bool = False
    ) -> Tensor:
        """`states`, to be differentiated by hand.

        Args:
            a: As of `states`, and so are the others.
            b: See there.
            initial_state: See there.
            reverse: See there.

        Returns:
            As `states`.
        """
        if is_split(b):
            return self._in_stretches(a, b, initial_state, reverse)
        scan = resolve_varying_scan(self.scan, static_size(b, 1))
        if scan == "sequential":
            return self._sequential(a, b, initial_state, reverse)
        if scan == "pallas" and static_size(b, 0) is not None:
            first = self._take(final_step(a, not reverse))
            entering = pack(self._times(first, self._take(initial_state)))
            return recurrence_kernel(a, b, entering, self.parts, reverse, after=True)[0]
        if scan == "chunked" and static_size(b, 1) is not None:
            return self._chunked(a, b, initial_state, reverse)
        return self._associative(a, b, initial_state, reverse)

    def _sequential(self, a, b, initial, reverse):
        def step(state, a_t, b_t):
            return pack(
                self._times(self._take(a_t), self._take(state)) + self._take(b_t)
            )

        return states_after(*loop_over_time(step, initial, [a, b], reverse), reverse)

    def _chunked(self, a, b, initial, reverse):
        batch, length, features = ops.shape(b)
        size = min(CHUNK, length)
        count = -(-length // size)

        a, b = (pad_time(x, count * size - length, at_front=reverse) for x in (a, b))
        inside, reach = self._inside_chunks(a, b, size, reverse)
        before = initial[:, None]
        if count > 1:
            ends = self._chunked(pack(reach[-1]), pack(inside[-1]), initial, reverse)
            before = shift(ends, initial, reverse)
        before = self._take(before)
        states = [
            pack(x + self._times(r, before)) for x, r in zip(inside, reach, strict=True)
        ]
        states = ops.stack(in_time(states, reverse), axis=2)
        states = ops.reshape(states, (batch, count * size, features))
        start = count * size - length if reverse else 0
        return states[:, start : start + length]

    def _inside_chunks(self, a, b, size, reverse):
        """States after each step of all chunks from zero, and products until there."""

        def steps(x):
            batch, length, features = ops.shape(x)
            x = ops.reshape(x, (batch, length // size, size, features))
            return [self._take(y) for y in in_time(ops.unstack(x, size, 2), reverse)]

        coefficients, inputs = steps(a), steps(b)
        inside, reach = inputs[:1], coefficients[:1]
        for a_j, b_j in zip(coefficients[1:], inputs[1:], strict=True):
            inside.append(self._times(a_j, inside[-1]) + b_j)
            # How what the chunk starts from gets so far.
            reach.append(self._times(a_j, reach[-1]))
        return inside, reach

    def _in_stretches(self, a, b, initial, reverse):
        """A stretch of time on each device: see `time_invariant`."""

        def each(split, rows, _):
            (a, b), (initial,) = split, rows
            ends = all_time_shards(ops.concatenate(self._fold(a, b, reverse), -1))
            products, ends = ops.split(ends, 2, -1)
            starts = self._chunked(products, ends, initial, reverse)
            starts = shift(starts, initial, reverse)
            return [self.solve(a, b, of_time_shard(starts)[:, 0], reverse)], []

        split = [pad_to_shards(x, reverse) for x in (a, b)]
        (states,), _ = over_time_shards(each, split, [initial])
        return without_padding(states, b.shape[1], reverse)

    def _fold(self, a, b, reverse):
        """All steps as one, `(batch, 1, features)`: its coefficient and its input."""
        length = b.shape[1]
        if length == 1:
            return a, b
        size = min(CHUNK, length)
        rest = length % size
        whole = slice(rest, None) if reverse else slice(0, length - rest)
        left = slice(0, rest) if reverse else slice(length - rest, None)
        inside, reach = self._inside_chunks(a[:, whole], b[:, whole], size, reverse)
        # Steps beyond the last whole chunk are steps of the next level.
        a, b = (
            ops.concatenate(in_time([pack(x), y[:, left]], reverse), axis=1)
            for x, y in ((reach[-1], a), (inside[-1], b))
        )
        return self._fold(a, b, reverse)

    def _associative(self, a, b, initial, reverse):
        def combine(earlier, later):
            a_1, b_1 = earlier
            a_2, b_2 = later
            return self._times(a_2, a_1), self._times(a_2, b_1) + b_2

        decay, states = associative_scan(
            combine, (self._take(a), self._take(b)), reverse=reverse, axis=1
        )
        return pack(self._times(decay, self._take(initial[:, None])) + states)

    def _take(self, x):
        """`Complex` numbers of a packed tensor; real ones are themselves."""
        return unpack(x) if self.parts == 2 else x

    def _times(self, a, x):
        """The product, zero where `a` is if that cuts."""
        product = a * x
        if not self.has_cuts:
            return product
        if self.parts == 1:
            return ops.where(a == 0, ops.zeros_like(product), product)
        cut = ops.logical_and(a.real == 0, a.imag == 0)
        return product.map(lambda y: ops.where(cut, ops.zeros_like(y), y))
