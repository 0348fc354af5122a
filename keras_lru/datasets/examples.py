"""A split of a task's dataset, read into memory."""

import dataclasses
import shlex

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds

from keras_lru.checks import check_choice
from keras_lru.datasets.seeding import permutation
from keras_lru.datasets.sequences import Sequences
from keras_lru.tasks import Task, get_task

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


def make_builder(task: Task, config=None, data_dir=None):
    """The TFDS builder of a task's dataset, with `config` in place of the task's."""
    name, _, default = task.dataset.partition("/")
    return tfds.builder(name, config=config or default or None, data_dir=data_dir)


def prepared_builder(task: Task, config=None, data_dir=None, download: bool = False):
    """`make_builder`, after a look whether there is something to read.

    Raises:
        FileNotFoundError: If the dataset is not prepared, and `download` is `False`;
            says how to prepare it.
    """
    builder = make_builder(task, config, data_dir)
    if download:
        builder.download_and_prepare()
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"{builder.info.full_name} must be prepared in {builder.data_dir}. "
            f"{_how_to_prepare(builder)}"
        )
    return builder


def _how_to_prepare(builder):
    config = getattr(builder.builder_config, "name", None)
    root = shlex.quote(str(builder.data_dir_root))
    if not type(builder).__module__.startswith("keras_lru."):
        name = f"{builder.name}/{config}" if config else builder.name
        return (
            f"`tfds.load({name!r}, data_dir={str(builder.data_dir_root)!r})` downloads "
            "and prepares it, and so does `download=True`."
        )
    if config is not None and config not in builder.builder_configs:
        return "`download=True` prepares it."
    words = [f"python -m keras_lru.datasets {builder.name}"]
    words += [f"--config {config}"] if config else []
    command = " ".join([*words, "--data-dir", root])
    manual = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    manual = f" {manual}" if manual else ""
    return f"`{command}` prepares it, and so does `download=True`.{manual}"


def tfds_split(task: Task, split: str) -> str:
    """TFDS's name for a split: the last tenth of train may serve for validation.

    Raises:
        ValueError: If `split` is not `"train"`, `"validation"` or `"test"`.

    Example:
        >>> from keras_lru.datasets.examples import tfds_split
        >>> from keras_lru.tasks import get_task
        >>> tfds_split(get_task("text"), "validation")
        'train[90%:]'
    """
    check_choice("split", split, ("train", "validation", "test"))
    if not task.held_out:
        return split
    return {"train": "train[:90%]", "validation": "train[90%:]"}.get(split, split)


def num_examples(task: str | Task, split: str, *, config=None, data_dir=None) -> int:
    """How many examples a split has, from TFDS's records: nothing is read.

    Args:
        task: As of `load`.
        split: As of `load`.
        config: As of `load`.
        data_dir: As of `load`.

    Returns:
        An integer. With `batch_size` it gives the steps of an epoch: that many times
        `batch_size` fits, and one more without `drop_remainder` if some are left.

    Raises:
        ValueError: If there is no such task or split.
        FileNotFoundError: If the dataset is not prepared.
    """
    task = get_task(task)
    builder = prepared_builder(task, config, data_dir)
    return builder.info.splits[tfds_split(task, split)].num_examples


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
