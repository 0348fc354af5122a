"""A split of a task's dataset, read into memory."""

import dataclasses

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_lru.datasets.prepared import tfds_split
from keras_lru.datasets.seeding import permutation
from keras_lru.datasets.sequences import Sequences
from keras_lru.tasks import Task

_READ_AT_ONCE = 500
# ITU-R BT.601, as Pillow's and torchvision's conversion.
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)


@dataclasses.dataclass(frozen=True)
class Examples:
    """The examples of a split: one or two sequences each, and a label.

    Args:
        sequences: One `Sequences`, or two for pairs.
        labels: int32 array.
    """

    sequences: tuple[Sequences, ...]
    labels: np.ndarray

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
        ValueError: If `downsample` doesn't divide the images' sides.
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

    batches = _read(builder, task, split).batch(_READ_AT_ONCE)
    steps, labels = zip(
        *((to_pixels(i[key]), i["label"]) for i in batches.as_numpy_iterator()),
        strict=True,
    )
    labels = np.concatenate(labels).astype(np.int32)
    lengths = np.full(len(labels), length)
    return Examples((Sequences(np.concatenate(steps), lengths),), labels)


def read_tokens(builder, task: Task, split: str, max_length: int) -> Examples:
    """Texts as sequences of bytes, or tokens as they are, cut at `max_length`.

    Args:
        builder: A prepared TFDS builder.
        task: A task on tokens.
        split: `"train"`, `"validation"` or `"test"`.
        max_length: Steps of the longest sequences, with the end token if there is one.

    Returns:
        `Examples`.
    """
    end = [] if task.end_token is None else [task.end_token]

    def to_tokens(example):
        tokens = []
        for key in task.keys:
            values = example[key]
            if values.dtype == tf.string:
                values = tf.io.decode_raw(values, tf.uint8)
            values = values[: max_length - len(end)]
            tokens.append(tf.concat([values, tf.constant(end, tf.uint8)], axis=0))
        return (*tokens, example["label"])

    examples = _read(builder, task, split).map(to_tokens, tf.data.AUTOTUNE)
    *batches, labels = zip(*examples.ragged_batch(_READ_AT_ONCE), strict=True)
    sequences = tuple(
        Sequences(
            np.concatenate([batch.values.numpy() for batch in column]),
            np.concatenate([batch.row_lengths().numpy() for batch in column]),
        )
        for column in batches
    )
    return Examples(sequences, np.concatenate(labels).astype(np.int32))


def _read(builder, task, split):
    decoding = tfds.decode.PartialDecoding(dict.fromkeys([*task.keys, "label"], True))
    return builder.as_dataset(
        split=tfds_split(task, split), decoders=decoding, shuffle_files=False
    )
