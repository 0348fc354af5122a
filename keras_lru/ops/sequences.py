"""Operations on batches of sequences `(batch, time, features)`, of any lengths.

Masks. A masked step must change neither the state nor, with `zero_output_for_mask`
false, the output, exactly as in `keras.layers.LSTM`. Unmasked steps are moved to the
front, in order: what is left is an ordinary sequence for the recurrence, and its
coefficients stay constant over time. Padding at the end needs no move at all, nor does
padding at the start if the state there is zero: zero inputs keep it zero.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
from keras import ops

from keras_lru.backend import (
    argsort_distinct,
    compiled,
    cond,
    from_time_shard_before,
    function_with_gradient,
    largest,
    over_time_shards,
    row_pieces,
    split_over_time,
    time_shards,
)
from keras_lru.backend.types import Tensor
from keras_lru.checks import fits


def static_size(x: Tensor, axis: int) -> int | None:
    """Size of `x` along `axis` as a Python integer, `None` if unknown while tracing."""
    size = x.shape[axis]
    return size if isinstance(size, int) else None


def is_split(x: Tensor) -> bool:
    """Whether the time of `(batch, time, features)` is spread over several devices.

    One device has not all steps then: it must take none by its index.
    """
    return time_shards() > 1 and len(x.shape) == 3 and bool(static_size(x, 1))


def is_split_in_rows(x: Tensor) -> bool:
    """Whether batch and time, which is split, must stay two axes.

    As one they are a stretch on each device if there is one sequence.
    """
    return is_split(x) and static_size(x, 0) != 1


# Products


def project(x: Tensor, matrix: Tensor, dtype: str) -> Tensor:
    """`x @ matrix` in `dtype`, as one product of two matrices.

    Args:
        x: `(batch, features)` or `(batch, time, features)`.
        matrix: `(features, columns)`.
        dtype: Dtype of the product.

    Returns:
        A tensor like `x`, of `columns` features.
    """
    x, matrix = ops.cast(x, dtype), ops.cast(matrix, dtype)
    # Not `ops.matmul`, here and elsewhere: of float64 it is float32 on PyTorch.
    if len(x.shape) == 2 or is_split_in_rows(x):
        return x @ matrix
    _, time, features = ops.shape(x)
    product = ops.reshape(x, (-1, features)) @ matrix
    # Not `batch`: jax2onnx cannot find an unknown one in the sizes of `product`.
    return ops.reshape(product, (-1, time, matrix.shape[-1]))


def feed_through(inputs: Tensor, D: Tensor | None, dtype: str) -> Tensor:
    """`D u` in `dtype`: zero if `D` is `None`, a product by feature if it is a vector.

    Args:
        inputs: `u`, `(batch, features)` or `(batch, time, features)`, of that dtype.
        D: `None`, `(features,)` or `(features, columns)`.
        dtype: Dtype of the product.

    Returns:
        A tensor that broadcasts to the outputs.
    """
    if D is None:
        return ops.zeros((), dtype=dtype)
    if len(D.shape) == 1:
        return inputs * ops.cast(D, dtype)
    return project(inputs, D, dtype)


# Steps by index


def take_steps(x: Tensor, index: Tensor) -> Tensor:
    """`x[b, index[b, k]]`: `(batch, time, features)` by `(batch, steps)`.

    Rows of the flattened tensor: one index a row is what gathers are fast at.
    """
    batch, time, features = ops.shape(x)
    index = ops.cast(index, "int32")
    rows = time * ops.expand_dims(ops.arange(0, batch, dtype="int32"), 1) + index
    taken = ops.take(ops.reshape(x, (-1, features)), ops.reshape(rows, (-1,)), axis=0)
    return ops.reshape(taken, (batch, ops.shape(index)[1], features))


def take_step(x: Tensor, index: Tensor) -> Tensor:
    """`x[b, index[b]]`: `(batch, time, features)` by `(batch,)`."""
    if is_split(x):
        # A sum over all devices, of which one has something.
        steps = ops.arange(0, x.shape[1], dtype="int32")
        taken = ops.equal(steps, ops.cast(index, "int32")[:, None])[..., None]
        return ops.sum(ops.where(taken, x, ops.zeros_like(x)), axis=1)
    return take_steps(x, ops.expand_dims(index, 1))[:, 0]


def last_step(x: Tensor, lengths: Tensor | None) -> Tensor:
    """`x[b, lengths[b] - 1]`, or of all steps the last one if `lengths` is `None`.

    Of a sequence of length 0, the first one: `x` has one at least.
    """
    if lengths is None:
        return final_step(x)
    return take_step(x, ops.maximum(lengths - 1, 0))


def final_step(x: Tensor, reverse: bool = False) -> Tensor:
    """The last step of `(batch, time, …)` in the direction of time."""
    index = 0 if reverse else -1
    if not is_split(x):
        return x[:, index]
    return take_step(x, ops.full((1,), index % x.shape[1], dtype="int32"))


def shift(x: Tensor, first: Tensor, reverse: bool = False) -> Tensor:
    """Every step moves one later in time, `first` enters; one earlier if `reverse`."""
    if is_split(x):
        return _shift_over_shards(x, first, reverse)
    first = first[:, None]
    if reverse:
        return ops.concatenate([x, first], axis=1)[:, 1:]
    return ops.concatenate([first, x], axis=1)[:, :-1]


def _shift_over_shards(x, first, reverse):
    """`shift`, for which each device hands one step to the next."""

    def each(split, rows, _):
        ((x,), (first,)) = split, rows
        enters = from_time_shard_before(final_step(x, reverse), first, reverse)
        return [shift(x, enters, reverse)], []

    def forward(x, first):
        (shifted,), _ = over_time_shards(each, [pad_to_shards(x, reverse)], [first])
        return without_padding(shifted, x.shape[1], reverse), ()

    def backward(_, upstream):
        zeros = ops.zeros_like(first)
        return shift(upstream, zeros, not reverse), final_step(upstream, not reverse)

    if not keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype)):
        return forward(x, first)[0]
    return function_with_gradient(forward, backward)(x, first)


def in_time(steps: list, reverse: bool) -> list:
    """A list in the direction of time, or back in the order of the tensor."""
    return steps[::-1] if reverse else steps


def kept(x: Tensor, keep: Tensor | None = None) -> Tensor:
    """`x` where the number `keep` is not zero, else zero, whatever `x` is."""
    return x if keep is None else ops.where(keep > 0, x, ops.zeros_like(x))


def pad_time(x: Tensor, amount: int | Tensor, at_front: bool = False) -> Tensor:
    """Zeros added along time; `amount` may be known at run time only."""
    if isinstance(amount, int) and amount == 0:
        return x
    if is_split(x):
        # Of this, and not of a concatenation, each device makes its part alone.
        widths = (amount, 0) if at_front else (0, amount)
        return ops.pad(x, [(0, 0), widths, (0, 0)])
    zeros = ops.zeros((ops.shape(x)[0], amount, x.shape[-1]), dtype=x.dtype)
    return ops.concatenate([zeros, x] if at_front else [x, zeros], axis=1)


def pad_to_shards(x: Tensor, reverse: bool = False) -> Tensor:
    """Zeros after the last step, so that as many steps are on each device."""
    return pad_time(x, -x.shape[1] % time_shards(), at_front=reverse)


def without_padding(x: Tensor, length: int, reverse: bool = False) -> Tensor:
    """The first `length` steps in the direction of time."""
    start = x.shape[1] - length if reverse else 0
    return x[:, start : start + length]


# Blocks


def into_blocks(inputs: Tensor, T: int) -> Tensor:
    """`(batch, blocks, T · input_dim)`, the last block filled up with zeros."""
    batch, steps, input_dim = ops.shape(inputs)
    count = count_blocks(inputs, T)
    padded = split_over_time(pad_time(inputs, count * T - steps))
    return ops.reshape(padded, (batch, count, T * input_dim))


def count_blocks(inputs: Tensor, T: int) -> int | Tensor:
    """How many blocks `into_blocks` makes."""
    steps = ops.shape(inputs)[1]
    if static_size(inputs, 1) is None:
        # Not even "at least one step" is known.
        return steps // T + 1
    count = -(-steps // T)
    # Over several devices, as many on each.
    return count + -count % time_shards() if is_split(inputs) else count


# Lengths


def whole_lengths(x: Tensor) -> Tensor:
    """Integers `(batch,)`: of sequences `(batch, time, features)` all of time."""
    batch, time = ops.shape(x)[:2]
    # Not `ops.full`: in an export of PyTorch the number would be a constant.
    return ops.cast(time * ops.ones((batch,), dtype="int32"), "int32")


def is_running(lengths: Tensor, steps: int | Tensor) -> Tensor:
    """Whether each of `steps` steps is within its sequence, `(batch, steps)`."""
    return ops.arange(0, steps, dtype="int32") < lengths[:, None]


def zero_without_steps(outputs: Tensor, lengths: Tensor | None) -> Tensor:
    """Outputs `(batch, features)` of last steps; zeros of sequences of length 0."""
    if lengths is None:
        return outputs
    return ops.where(lengths[:, None] > 0, outputs, ops.zeros_like(outputs))


# Masks


class Compacted(NamedTuple):
    """Sequences without masked steps inside.

    Attributes:
        inputs: `(batch, time, features)`: masked steps are zero, and moved to the end
            where that is necessary.
        lengths: Integers `(batch,)`, the steps after which each sequence has ended.
        in_place: Boolean scalar: whether no step was moved.
        mask: The mask, `(batch, time)`.
    """

    inputs: Tensor
    lengths: Tensor
    in_place: Tensor
    mask: Tensor


def mask_of_steps(mask: Tensor | None) -> Tensor | None:
    """The mask `(batch, time)` of one that may be a column, `(batch, time, 1)`.

    Keras's own loops take both. `None` stays `None`.
    """
    return ops.squeeze(mask, -1) if fits(mask, (None, None, 1)) else mask


@compiled
def compact(inputs: Tensor, mask: Tensor, *, starts_at_zero: bool) -> Compacted:
    """Move masked steps out of the way.

    Args:
        inputs: `(batch, time, features)`.
        mask: Boolean, `(batch, time)`; false steps are masked.
        starts_at_zero: Whether the recurrence starts from a zero state, and zero inputs
            keep it there.
    """
    inputs = ops.where(ops.expand_dims(mask, -1), inputs, ops.zeros_like(inputs))
    time = ops.shape(mask)[1]
    steps = ops.arange(0, time, dtype="int32")
    unmasked = ops.cast(mask, "int32")
    count = ops.sum(unmasked, axis=1)
    end = largest(unmasked * (steps + 1))
    if starts_at_zero:
        start = time - largest(unmasked * (time - steps))
        stays = ops.logical_or(ops.equal(count, end - start), count == 0)
    else:
        stays = ops.equal(count, end)
    # With its axis: the export of PyTorch to ONNX needs it.
    in_place = ops.all(stays, axis=0)

    def moved():
        # Unmasked steps first, each group in the order of time.
        key = steps + time * (1 - unmasked)
        return take_steps(inputs, argsort_distinct(key))

    inputs = cond(in_place, lambda: inputs, moved)
    return Compacted(inputs, ops.where(in_place, end, count), in_place, mask)


def add_masked_step(
    inputs: Tensor,
    step_sizes: Tensor | None,
    reset: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor]:
    """A step at the end that changes nothing: so that no scan runs over no steps.

    Args:
        inputs: `(batch, time, features)`.
        step_sizes: `(batch, time)` or `None`.
        reset: Boolean, `(batch, time)` or `None`.
        mask: The same.

    Returns:
        The arguments, with a step more.
    """

    def longer(x):
        return None if x is None else pad_time(ops.expand_dims(x, -1), 1)[..., 0]

    if mask is None:
        batch, time = ops.shape(inputs)[:2]
        mask = ops.ones((batch, time), dtype="bool")
    return pad_time(inputs, 1), longer(step_sizes), longer(reset), longer(mask)


@compiled
def expand(
    outputs: Tensor, compacted: Compacted, *, zero_output_for_mask: bool
) -> Tensor:
    """Outputs of compacted inputs at their own steps, and at masked steps too.

    A masked step repeats the output of the step before it, zeros before the first; or
    is zero if `zero_output_for_mask`.
    """
    _, lengths, in_place, mask = compacted
    seen = ops.cumsum(ops.cast(mask, "int32"), axis=1)
    zeros = ops.zeros_like(outputs)
    # Not `mask[..., None]`, here and elsewhere: converters lose the new axis.
    steps = ops.arange(0, ops.shape(mask)[1], dtype="int32")
    last = ops.expand_dims(lengths, -1) - 1
    in_mask = ops.expand_dims(mask, -1)

    def filled_in_place():
        if zero_output_for_mask:
            return ops.where(in_mask, outputs, zeros)
        # A sum, since there may be no step to take.
        is_final = ops.expand_dims(ops.equal(steps, last), -1)
        final = ops.sum(ops.where(is_final, outputs, zeros), axis=1, keepdims=True)
        return ops.where(in_mask, outputs, final)

    def filled_from_front():
        return take_steps(outputs, ops.maximum(seen - 1, 0))

    filled = cond(in_place, filled_in_place, filled_from_front)
    keep = mask if zero_output_for_mask else seen > 0
    return ops.where(ops.expand_dims(keep, -1), filled, zeros)


def in_pieces(
    function: Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]],
    arrays: Sequence[Tensor],
) -> tuple[list[Tensor], list[Tensor]]:
    """`function` of all rows of a batch, of some at a time where that is faster.

    Args:
        function: Maps tensors, of a batch each, to tensors to be summed over the rows,
            and tensors of the same batch.
        arrays: What the function is called with, one of them as large as those that
            are made on the way.

    Returns:
        The sums, and the tensors of the whole batch.
    """
    pieces = row_pieces(arrays)
    if len(pieces) == 1:
        sums, by_row = function(*arrays)
        return list(sums), list(by_row)
    results = [function(*(x[rows] for x in arrays)) for rows in pieces]
    to_sum, to_join = (
        [*zip(*each, strict=True)] for each in zip(*results, strict=True)
    )
    return [sum(xs[1:], xs[0]) for xs in to_sum], [*map(ops.concatenate, to_join)]
