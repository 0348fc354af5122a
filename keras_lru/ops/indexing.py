"""Steps of each sequence, picked by index."""

from keras import ops

from keras_lru.ops.backend import static_size


def take_steps(x, index):
    """`x[b, index[b, k]]`: `(batch, time, features)` by `(batch, steps)`.

    Rows of the flattened tensor: one index a row is what gathers are fast at.
    """
    batch, time, features = ops.shape(x)
    index = ops.cast(index, "int32")
    rows = index + time * ops.arange(0, batch, dtype="int32")[:, None]
    taken = ops.take(ops.reshape(x, (-1, features)), ops.reshape(rows, (-1,)), axis=0)
    return ops.reshape(taken, (batch, ops.shape(index)[1], features))


def take_step(x, index):
    """`x[b, index[b]]`: `(batch, time, features)` by `(batch,)`."""
    return take_steps(x, index[:, None])[:, 0]


def last_step(x, lengths):
    """`x[b, lengths[b] - 1]`, or of all steps the last one; zeros where there is none.

    Args:
        x: `(batch, time, features)`.
        lengths: Integers `(batch,)`, or `None`.
    """
    if lengths is None and static_size(x, 1):
        return x[:, -1]
    batch, _, features = ops.shape(x)
    zeros = ops.zeros((batch, 1, features), dtype=x.dtype)
    if lengths is None:
        return ops.concatenate([zeros, x[:, -1:]], axis=1)[:, -1]
    return take_step(ops.concatenate([zeros, x], axis=1), lengths)


def zero_without_steps(outputs, x, lengths):
    """Outputs `(batch, …)` of the last steps of `x`; zeros where there is none."""
    if lengths is None and static_size(x, 1):
        return outputs
    count = ops.shape(x)[1] if lengths is None else lengths[:, None]
    return ops.where(count > 0, outputs, ops.zeros_like(outputs))
