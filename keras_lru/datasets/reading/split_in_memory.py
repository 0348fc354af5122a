"""A split of a task's dataset, read into memory."""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_lru.datasets.generating.seeding import permutation
from keras_lru.datasets.reading.damage import naming_damage
from keras_lru.datasets.reading.dataset_checks import tfds_split
from keras_lru.datasets.reading.ragged_sequences import RaggedSequences
from keras_lru.datasets.tasks import Task

_READ_AT_ONCE = 500
# ITU-R BT.601, as Pillow's and torchvision's conversion.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of a split: one or two sequences each, and what to predict.

    Args:
        sequences: One `RaggedSequences`, or two for pairs.
        targets: Array `(examples,)` of classes or `(examples, values)` of float32; or
            `RaggedSequences`, with a class or a vector for each step.
    """

    sequences: tuple[RaggedSequences, ...]
    targets: np.ndarray | RaggedSequences

    @property
    def lengths(self) -> np.ndarray:
        """The length of each example, a pair's longer sequence's."""
        return np.max([sequences.lengths for sequences in self.sequences], axis=0)


def read_images(
    builder,
    task: Task,
    split: str,
    downsample: int = 1,
    grayscale: bool = False,
    permutation_seed: int = 0,
) -> Examples:
    """Images as sequences of pixels, row by row.

    Args:
        builder: A prepared TFDS builder.
        task: A task on images.
        split: `"train"`, `"validation"` or `"test"`.
        downsample: How many times smaller to make images, by the mean of squares.
        grayscale: Whether to turn colours into one value.
        permutation_seed: Seed of the order of pixels, if the task permutes them.

    Returns:
        `Examples` with steps of shape `(features,)`.

    Raises:
        ValueError: If `downsample` doesn't divide the images' sides, or if targets are
            not below `task.num_classes`.
        OSError: If a file of the split is missing or damaged.
    """
    (key,) = task.keys
    height, width, _ = builder.info.features[key].shape
    if height % downsample or width % downsample:
        raise ValueError(
            f"`downsample` must divide the images' height and width, {height} and "
            f"{width}. Received: downsample={downsample}"
        )
    length = height * width // downsample**2
    order = np.arange(length)
    if task.permuted:
        order = permutation(length, permutation_seed, "pixels")

    def to_pixels(images):
        if grayscale and images.shape[-1] == 3:
            images = np.rint(images @ _LUMA)[..., np.newaxis]
        if downsample > 1:
            count, *_, features = images.shape
            squares = (count, height // downsample, downsample, -1, downsample)
            images = np.rint(images.reshape(*squares, features).mean((2, 4)))
        pixels = images.astype(np.uint8).reshape(len(images), length, -1)
        return pixels[:, order].reshape(len(images) * length, -1)

    with naming_damage(builder, tfds_split(task, split)):
        batches = _read(builder, task, split).batch(_READ_AT_ONCE)
        steps, targets = zip(
            *(
                (to_pixels(batch[key]), batch[task.target_key])
                for batch in batches.as_numpy_iterator()
            ),
            strict=True,
        )
    targets = _to_targets(np.concatenate(targets), task)
    lengths = np.full(len(targets), length)
    return Examples((RaggedSequences(np.concatenate(steps), lengths),), targets)


def read_sequences(builder, task: Task, split: str, max_length: int) -> Examples:
    """Texts as sequences of bytes, or tokens and floats as they are, cut.

    Args:
        builder: A prepared TFDS builder.
        task: A task on tokens or on floats.
        split: `"train"`, `"validation"` or `"test"`.
        max_length: Steps of the longest sequences, with the end token if there is one.

    Returns:
        `Examples`: tokens in the smallest integers that hold the vocabulary, floats as
        float32 `(features,)` a step.

    Raises:
        ValueError: If tokens are not below `task.vocabulary_size`, classes not below
            `task.num_classes`, or if an example has more targets than steps, or fewer.
        OSError: If a file of the split is missing or damaged.
    """
    end = [] if task.end_token is None else [task.end_token]

    def cut(values):
        if values.dtype == tf.string:
            values = tf.io.decode_raw(values, tf.uint8)
        values = values[: max_length - len(end)]
        if end:
            values = tf.concat([values, tf.constant(end, values.dtype)], axis=0)
        return values

    def to_columns(example):
        target = example[task.target_key]
        if task.per_step:
            target = target[:max_length]
        return (*(cut(example[key]) for key in task.keys), target)

    def to_steps(values):
        if task.inputs == "tokens":
            return _below(values, "vocabulary_size", task.vocabulary_size)
        return values.astype(np.float32, copy=False).reshape(-1, task.features)

    with naming_damage(builder, tfds_split(task, split)):
        examples = _read(builder, task, split).map(to_columns, tf.data.AUTOTUNE)
        *columns, targets = zip(*examples.ragged_batch(_READ_AT_ONCE), strict=True)
    padding = task.padding
    sequences = tuple(_end_to_end(column, to_steps, padding) for column in columns)
    if not task.per_step:
        flat = np.concatenate([batch.numpy() for batch in targets])
        return Examples(sequences, _to_targets(flat, task))
    steps = _end_to_end(targets, lambda values: _to_targets(values, task))
    _check_in_step(sequences[0].lengths, steps.lengths, task)
    return Examples(sequences, steps)


def _end_to_end(batches, convert, padding=0):
    """The sequences of batches, ragged if their lengths vary, else dense."""
    steps, lengths = [], []
    for batch in batches:
        if isinstance(batch, tf.RaggedTensor):
            steps.append(convert(batch.values.numpy()))
            lengths.append(batch.row_lengths().numpy())
        else:
            count, length, *inner = batch.shape
            steps.append(convert(batch.numpy().reshape(count * length, *inner)))
            lengths.append(np.full(count, length))
    return RaggedSequences(np.concatenate(steps), np.concatenate(lengths), padding)


def _to_targets(values, task):
    """An integer for each of `values`, or a vector of floats."""
    if task.target == "class":
        return _below(values, "num_classes", task.num_classes)
    return values.astype(np.float32, copy=False).reshape(len(values), -1)


def _below(values, name, count):
    """`values` in the smallest integers that hold those from 0 to `count` - 1."""
    if values.size:
        least, most = int(values.min()), int(values.max())
        if least < 0 or most >= count:
            raise ValueError(
                f"`{name}` must be above all integers of the data, which are at least "
                f"0. Received: {name}={count}, and integers from {least} to {most}"
            )
    return values.astype(np.min_scalar_type(count - 1), copy=False)


def _check_in_step(lengths, target_lengths, task):
    if len(wrong := np.flatnonzero(lengths != target_lengths)):
        raise ValueError(
            f"`target_key` must name a target for each step with per_step=True. "
            f"Received: target_key={task.target_key!r}, which has "
            f"{target_lengths[wrong[0]]} targets for the {lengths[wrong[0]]} steps of "
            f"example {wrong[0]}"
        )


def _read(builder, task, split):
    keys = [*task.keys, task.target_key]
    return builder.as_dataset(
        split=tfds_split(task, split),
        decoders=tfds.decode.PartialDecoding(dict.fromkeys(keys, True)),
        shuffle_files=False,
    )
