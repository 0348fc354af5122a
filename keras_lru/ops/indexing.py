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


def running(lengths, steps):
    """Whether each of `steps` steps is within its sequence, `(batch, steps)`."""
    return ops.arange(0, steps, dtype="int32") < lengths[:, None]


def last_step(x, lengths):
    """`x[b, lengths[b] - 1]`, or of all steps the last one if `lengths` is `None`.

    Of a sequence of length 0, the first one: `x` has one at least.
    """
    if lengths is None:
        return x[:, -1]
    return take_step(x, ops.maximum(lengths - 1, 0))


def zero_without_steps(outputs, lengths):
    """Outputs `(batch, features)` of last steps; zeros of sequences of length 0."""
    if lengths is None:
        return outputs
    return ops.where(lengths[:, None] > 0, outputs, ops.zeros_like(outputs))
