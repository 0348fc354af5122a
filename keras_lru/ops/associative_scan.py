"""A scan over any associative function, at any length, known or not."""

from collections.abc import Callable
from typing import Any

from keras import ops, tree

from keras_lru.backend import doubling_loop
from keras_lru.ops.sequences import static_size


def associative_scan(
    f: Callable[[Any, Any], Any], elems: Any, reverse: bool = False, axis: int = 0
) -> Any:
    """Scan with an associative binary operation, in parallel.

    The contract of `keras.ops.associative_scan`, and it also holds on TensorFlow:
    inside `tf.function` with a length that is unknown while tracing, under XLA, for
    nested structures, and for the lengths 0 and 1. The gradient follows in all those
    cases.

    With a static length the work is O(length) and the depth O(log length). With an
    unknown length it is done by doubling: the same depth, O(length · log length) work.

    Args:
        f: Associative function of two structures like `elems`, `f(folded, next)`, in
            the direction of the scan. It must work on slices: any size along `axis`.
        elems: Tensor, or nested structure of tensors of the same size along `axis`.
        reverse: Whether to scan from the end of `axis` to its start.
        axis: Axis to scan over.

    Returns:
        Structure like `elems`: element `k` along `axis` is `f` folded over the elements
        `0 … k` (over `end … k`, in that order, if `reverse`).

    Raises:
        ValueError: If `f` is not callable, `elems` is empty, `axis` is out of range, or
            the sizes along `axis` differ.

    Example:

    >>> import numpy as np
    >>> from keras_lru.ops import associative_scan
    >>> np.array(associative_scan(lambda a, b: a + b, np.arange(5)))
    array([ 0,  1,  3,  6, 10]...)
    """
    if not callable(f):
        raise ValueError(f"`f` must be callable. Received: f={f}")
    flat = [ops.convert_to_tensor(x) for x in tree.flatten(elems)]
    if not flat:
        raise ValueError(f"`elems` must hold a tensor. Received: elems={elems}")
    for x in flat:
        if not -len(x.shape) <= axis < len(x.shape):
            raise ValueError(
                "`axis` must be an axis of every tensor in `elems`. "
                f"Received: axis={axis}, shapes {[tuple(y.shape) for y in flat]}"
            )
    sizes = {s for s in (static_size(x, axis) for x in flat) if s is not None}
    if len(sizes) > 1:
        raise ValueError(
            "All tensors in `elems` must have the same size along `axis`. Received: "
            f"axis={axis}, shapes {[tuple(x.shape) for x in flat]}"
        )

    axes = [axis % len(x.shape) for x in flat]

    def combine(earlier, later):
        result = f(
            tree.pack_sequence_as(elems, earlier), tree.pack_sequence_as(elems, later)
        )
        return [ops.convert_to_tensor(x) for x in tree.flatten(result)]

    if reverse:
        flat = [ops.flip(x, axis=k) for x, k in zip(flat, axes, strict=True)]
    if len(sizes) == 1 and None not in [
        static_size(x, k) for x, k in zip(flat, axes, strict=True)
    ]:
        flat = _recursive(combine, flat, axes, sizes.pop())
    else:
        flat = _doubling(combine, flat, axes)
    if reverse:
        flat = [ops.flip(x, axis=k) for x, k in zip(flat, axes, strict=True)]
    return tree.pack_sequence_as(elems, flat)


def _along(x, axis, *slices):
    return x[(slice(None),) * axis + (slice(*slices),)]


def _recursive(combine, flat, axes, length):
    """Pairs are combined, scanned at half the length, and the rest is filled in."""
    if length < 2:
        return flat

    def take(tensors, *slices):
        return [_along(x, k, *slices) for x, k in zip(tensors, axes, strict=True)]

    pairs = combine(take(flat, 0, length - 1, 2), take(flat, 1, None, 2))
    odd = _recursive(combine, pairs, axes, length // 2)
    first = take(flat, 0, 1)
    if length == 2:
        return [
            ops.concatenate(xs, axis=k)
            for xs, k in zip(zip(first, odd, strict=True), axes, strict=True)
        ]
    rest = combine(take(odd, 0, (length - 1) // 2), take(flat, 2, None, 2))
    return [
        _interleave(ops.concatenate([x0, x], axis=k), y, k, length)
        for x0, x, y, k in zip(first, rest, odd, axes, strict=True)
    ]


def _interleave(even, odd, axis, length):
    """Even and odd elements in turn; `even` may have one more."""
    half = length // 2
    shape = list(ops.shape(odd))
    shape[axis] = 2 * half
    paired = ops.reshape(
        ops.stack([_along(even, axis, 0, half), odd], axis=axis + 1), shape
    )
    if length % 2 == 0:
        return paired
    return ops.concatenate([paired, _along(even, axis, half, None)], axis=axis)


def _doubling(combine, flat, axes):
    """x_t ← f(x_{t − 2^k}, x_t) for growing k, until the reach covers the length."""
    length = ops.shape(flat[0])[axes[0]]
    position = ops.arange(0, length, dtype="int32")

    def double(reach, *tensors):
        source = ops.maximum(position - reach, 0)
        earlier = [
            ops.take(x, source, axis=k) for x, k in zip(tensors, axes, strict=True)
        ]
        combined = combine(earlier, list(tensors))
        result = []
        for new, old, k in zip(combined, tensors, axes, strict=True):
            shape = [1] * len(old.shape)
            shape[k] = -1
            has_source = ops.reshape(position >= reach, shape)
            result.append(ops.where(has_source, ops.cast(new, old.dtype), old))
        return (reach * 2, *result)

    return doubling_loop(
        lambda reach, *_: reach < length,
        double,
        (ops.convert_to_tensor(1, dtype="int32"), *flat),
    )[1:]
