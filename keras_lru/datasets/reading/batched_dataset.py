"""Batches of examples in memory, as `model.fit` reads them."""

import numpy as np
import tensorflow as tf

from keras_lru.datasets.reading.batches import Batches
from keras_lru.datasets.reading.ragged_sequences import RaggedSequences
from keras_lru.datasets.reading.split_in_memory import Examples


def make_dataset(
    examples: Examples,
    batches: Batches,
    is_image: bool,
    start_step: int = 0,
    repeat: bool = False,
    weigh_steps: bool = False,
) -> tf.data.Dataset:
    """Batches of examples in memory, as `load` returns them.

    Args:
        examples: `Examples`.
        batches: `Batches` of them.
        is_image: Whether to scale steps to floats from -1 to 1.
        start_step: As of `load`.
        repeat: As of `load`.
        weigh_steps: Whether to add sample weights, 1 for steps and 0 for padding; for
            a target a step.

    Returns:
        A `tf.data.Dataset`.
    """
    sequences, targets = examples.sequences, examples.targets
    per_step = isinstance(targets, RaggedSequences)
    rows = None if batches.has_partial else batches.rows
    time = batches.buckets[0] if len(batches.buckets) == 1 else None

    def gather(step):
        indices, length = batches(int(step))
        arrays = [column.pad(indices, length) for column in sequences]
        arrays.append(targets.pad(indices, length) if per_step else targets[indices])
        if weigh_steps:
            arrays.append(targets.weights(indices, length))
        return arrays

    stored = [*(column.steps for column in sequences)]
    stored.append(targets.steps if isinstance(targets, RaggedSequences) else targets)
    shapes = [(rows, time, *steps.shape[1:]) for steps in stored]
    if not per_step:
        shapes[-1] = (rows, *stored[-1].shape[1:])
    dtypes = [tf.as_dtype(array.dtype) for array in stored]
    if weigh_steps:
        shapes.append((rows, time))
        dtypes.append(tf.float32)

    def to_batch(step):
        # Copies are taken in Python, what costs more is TensorFlow's: no lock there.
        arrays = tf.numpy_function(gather, [step], dtypes, stateful=False)
        arrays = [
            tf.ensure_shape(array, shape)
            for array, shape in zip(arrays, shapes, strict=True)
        ]
        inputs = [to_input(array) for array in arrays[: len(sequences)]]
        inputs = tuple(inputs) if len(inputs) == 2 else inputs[0]
        target, *weights = arrays[len(sequences) :]
        return inputs, _to_int32(target), *weights

    def to_input(steps):
        if is_image:
            return tf.cast(steps, tf.float32) / 127.5 - 1.0
        return _to_int32(steps)

    if repeat:
        steps = tf.data.Dataset.counter(np.int64(start_step))
    else:
        epoch = start_step // batches.steps_per_epoch
        stop = (epoch + 1) * batches.steps_per_epoch
        steps = tf.data.Dataset.range(start_step, stop)
    return steps.map(to_batch, num_parallel_calls=tf.data.AUTOTUNE).prefetch(
        tf.data.AUTOTUNE
    )


def _to_int32(values):
    """Integers of any size as int32; floats as they are."""
    return values if values.dtype.is_floating else tf.cast(values, tf.int32)
