"""Sequences with masked steps, brought to a form that needs no masks, and back.

A masked step leaves the state as it was. So the unmasked steps, moved together, are the
same sequence for the recurrence, and its coefficients stay constant over time. Padding
at the end needs no move at all, nor does padding at the start if the state there is
zero: zero inputs keep it zero.
"""

from keras import ops

from keras_lru.ops.indexing import take_steps


def compact(inputs, mask, starts_at_zero):
    """Inputs without masked steps inside, and what `expand` needs to undo it.

    Args:
        inputs: `(batch, time, features)`.
        mask: Boolean, `(batch, time)`; false steps are masked.
        starts_at_zero: Whether the recurrence starts from the zero state.

    Returns:
        `(inputs, lengths, undo)`: the inputs with masked steps zeroed, moved to the end
        where that is necessary; the integers `(batch,)` of steps after which each
        sequence has ended; and a state for `expand`.
    """
    inputs = ops.where(mask[..., None], inputs, ops.zeros_like(inputs))
    steps = ops.arange(0, ops.shape(mask)[1], dtype="int32")[None]
    unmasked = ops.cast(mask, "int32")
    count = ops.sum(unmasked, axis=1)
    end = ops.max(unmasked * (steps + 1), axis=1, initial=0)
    if starts_at_zero:
        start = ops.shape(mask)[1] - ops.max(
            unmasked * (ops.shape(mask)[1] - steps), axis=1, initial=0
        )
        in_place = ops.all(ops.logical_or(ops.equal(count, end - start), count == 0))
    else:
        in_place = ops.all(ops.equal(count, end))

    def moved():
        # Unmasked steps first, each group in the order of time.
        key = steps + ops.shape(mask)[1] * (1 - unmasked)
        return take_steps(inputs, ops.argsort(key, axis=1))

    inputs = ops.cond(in_place, lambda: inputs, moved)
    lengths = ops.where(in_place, end, count)
    return inputs, lengths, (in_place, mask, lengths)


def expand(outputs, undo, zero_output_for_mask):
    """Outputs of compacted inputs at their own steps, and at masked steps too.

    A masked step repeats the output of the step before it, zeros before the first; or
    is zero if `zero_output_for_mask`.
    """
    in_place, mask, lengths = undo
    seen = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    zeros = ops.zeros_like(outputs)

    def filled_in_place():
        if zero_output_for_mask:
            return ops.where(mask[..., None], outputs, zeros)
        # A sum, since there may be no step to take.
        steps = ops.arange(0, ops.shape(mask)[1], dtype="int32")[None]
        is_final = ops.equal(steps, lengths[:, None] - 1)[..., None]
        final = ops.sum(ops.where(is_final, outputs, zeros), axis=1, keepdims=True)
        return ops.where(mask[..., None], outputs, final)

    def filled_from_front():
        return take_steps(outputs, ops.maximum(seen - 1, 0))

    filled = ops.cond(in_place, filled_in_place, filled_from_front)
    keep = mask if zero_output_for_mask else seen > 0
    return ops.where(keep[..., None], filled, zeros)
