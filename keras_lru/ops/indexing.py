"""Steps of each sequence, picked by index."""

from keras import ops


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
