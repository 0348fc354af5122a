"""Time cut into blocks of steps."""

from keras import ops

from keras_lru.backend import split_over_time, time_shards
from keras_lru.backend.types import Tensor
from keras_lru.ops.sequences import is_split, pad_time, static_size


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
