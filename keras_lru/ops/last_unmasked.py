"""What a masked step repeats: the last unmasked step before it."""

from keras import ops

from keras_lru.backend import all_time_shards, argsort_distinct, largest, of_time_shard
from keras_lru.backend.types import Tensor
from keras_lru.ops.sequences import is_split, shift, take_steps
from keras_lru.ops.time_varying import VaryingRecurrence


def last_unmasked_step(mask: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
    """The last unmasked step of each sequence, and whether there is one.

    Args:
        mask: Boolean, `(batch, time)`.
        reset: Boolean `(batch, time)`: where a sequence begins, and only what is after
            counts; `None` means nowhere.

    Returns:
        `(steps, exists)`, integers and booleans `(batch,)`.
    """
    # From 1, as 0 is the largest of none.
    steps = ops.arange(1, ops.shape(mask)[1] + 1, dtype="int32")[None]
    last = largest(ops.cast(mask, "int32") * steps)
    exists = last > 0
    if reset is not None:
        begun = largest(ops.cast(reset, "int32") * steps)
        exists = ops.logical_and(exists, last >= begun)
    return ops.maximum(last - 1, 0), exists


def last_unmasked(mask: Tensor, reset: Tensor | None) -> tuple[Tensor, Tensor]:
    """For each step, the last unmasked one until then, and whether there is one.

    Args:
        mask: Boolean, `(batch, time)`.
        reset: Boolean `(batch, time)`: where a sequence begins, of which alone a step
            knows; `None` means nowhere.

    Returns:
        `(steps, exists)`, integers and booleans `(batch, time)`.
    """
    time = ops.shape(mask)[1]
    seen = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    key = ops.arange(0, time, dtype="int32")[None]
    key = key + time * ops.cast(ops.logical_not(mask), "int32")
    in_front = argsort_distinct(key)
    steps = _at(in_front, ops.maximum(seen - 1, 0))
    exists = seen > 0
    if reset is not None:
        begun = ops.cumsum(ops.cast(reset, "int32"), axis=1)
        same = ops.equal(begun, _at(begun, steps))
        exists = ops.logical_and(exists, same)
    return steps, exists


def _at(x, steps):
    # Not `take_along_axis`: PyTorch's export takes its sizes for constants.
    return ops.squeeze(take_steps(ops.expand_dims(x, -1), steps), -1)


def repeat_at_masked(outputs: Tensor, mask: Tensor, reset: Tensor | None) -> Tensor:
    """Outputs `(batch, time, features)`, at masked steps those of the last unmasked.

    Args:
        outputs: At masked steps anything.
        mask: As of `last_unmasked`.
        reset: See there.

    Returns:
        Zeros at steps that have none.
    """
    if is_split(outputs):
        return _carried(outputs, mask, reset)
    steps, exists = last_unmasked(mask, reset)
    repeated = take_steps(outputs, steps)
    return ops.where(ops.expand_dims(exists, -1), repeated, ops.zeros_like(repeated))


def _carried(outputs, mask, reset):
    """`repeat_at_masked` as a recurrence, for which no step is taken by its index."""
    mask = ops.expand_dims(mask, -1)
    outputs = ops.where(mask, outputs, ops.zeros_like(outputs))
    carries = ops.logical_not(mask)
    if reset is not None:
        carries = ops.logical_and(carries, ops.logical_not(ops.expand_dims(reset, -1)))
    carries = ops.broadcast_to(ops.cast(carries, outputs.dtype), ops.shape(outputs))
    recurrence = VaryingRecurrence("auto", is_complex=False, has_cuts=True)
    return recurrence.states(carries, outputs, ops.zeros_like(outputs[:, 0]))


def last_of_stretches(x: Tensor, has: Tensor) -> tuple[Tensor, Tensor]:
    """The last `x` before this device's stretch, and of all stretches.

    In a function of `over_time_shards`.

    Args:
        x: What is known after the steps of the stretch, `(batch, features)`.
        has: Boolean `(batch, stretches)`: of which `x` counts.

    Returns:
        `(batch, 1, features)` and `(batch, features)`; zeros where there is none.
    """
    known = _carried(all_time_shards(x[:, None]), has, None)
    return of_time_shard(shift(known, ops.zeros_like(x))), known[:, -1]
