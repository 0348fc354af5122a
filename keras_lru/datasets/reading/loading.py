"""From a task's name to batches that `model.fit` reads."""

import numbers
from collections.abc import Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

from keras_lru.checks import (
    check_non_negative_integer,
    check_positive_integer,
    is_number,
)
from keras_lru.datasets.reading.batched_dataset import make_dataset
from keras_lru.datasets.reading.batches import Batches
from keras_lru.datasets.reading.dataset_checks import (
    check_features,
    check_format,
    check_split,
    tfds_split,
)
from keras_lru.datasets.reading.prepared_builder import prepared_builder
from keras_lru.datasets.reading.split_in_memory import read_images, read_sequences
from keras_lru.datasets.tasks import Task, get_task


def load(
    task: str | Task,
    split: str,
    batch_size: int,
    *,
    config: str | tfds.core.BuilderConfig | None = None,
    data_dir: str | None = None,
    download: bool = False,
    seed: int = 0,
    shuffle: bool | None = None,
    repeat: bool = False,
    start_step: int = 0,
    drop_remainder: bool | None = None,
    max_length: int | None = None,
    buckets: Sequence[int] | None = None,
    downsample: int = 1,
    grayscale: bool = False,
    permutation_seed: int = 0,
    num_shards: int = 1,
    shard_index: int = 0,
) -> tf.data.Dataset:
    """Batches of a task, the benchmark's or one's own, for `model.fit`.

    Batch number k is a function of the arguments and k alone, so a run that was
    killed after k batches goes on with `start_step=k` as if nothing had happened, and
    nothing is read to get there. Each epoch shuffles all examples, by the seed and the
    epoch's number. The split is read into memory: a byte a token or pixel, four a
    float.

    Without `repeat` the dataset is one epoch, and the same batches each time it is
    iterated over. To train for more, use `repeat=True` and the `steps_per_epoch` of
    `model.fit`.

    Args:
        task: `"scifar"`, `"listops"`, `"text"`, `"retrieval"`, `"pathfinder"`,
            `"pathx"`, `"smnist"`, `"psmnist"`, `"copy_memory"`, or a `Task`.
        split: `"train"`, `"validation"` or `"test"`. Where the dataset has no
            validation split, the last tenth of its training split is taken.
        batch_size: Positive integer, examples a batch.
        config: Config of the TFDS dataset, a name or a `BuilderConfig`. Defaults to
            the task's.
        data_dir: Where TFDS keeps prepared data. Defaults to TFDS's own default, the
            environment variable `TFDS_DATA_DIR` if it is set.
        download: Whether to prepare a missing dataset: download it, or generate it.
        seed: Integer of at least 0, for the order of the examples.
        shuffle: Whether to shuffle. Defaults to `None`: `True` for `"train"`.
        repeat: Whether to go on for ever, an epoch after the other.
        start_step: Integer of at least 0, the number of the first batch, counted from
            the first epoch on. Without `repeat` the dataset is the rest of the epoch
            that this batch is in.
        drop_remainder: Whether to leave out an epoch's last batch if it isn't full.
            Defaults to `None`: the value of `shuffle`.
        max_length: For tokens and floats, where sequences are cut. Defaults to the
            task's length, or to the dataset's if all its sequences have one.
        buckets: For tokens and floats, increasing lengths to pad batches to: examples
            of about the same length are put together, and XLA compiles a program for
            each length. Defaults to `max_length` and its half, quarter and eighth.
            Those above `max_length` are not used, and `max_length` always is.
        downsample: For images, how many times smaller to make them in height and in
            width.
        grayscale: For images, whether to turn colours into one value.
        permutation_seed: Integer of at least 0, for the order of the pixels of
            `"psmnist"`, which is the same in all splits.
        num_shards: Positive integer, in how many parts of as many rows each batch is
            cut; for processes that train one model (`keras_lru.training.Processes`).
            `batch_size` is the whole batch's.
        shard_index: Integer from 0 to `num_shards - 1`, the part to read.

    Returns:
        A `tf.data.Dataset` of `(inputs, targets)`, or of `(inputs, targets,
        sample_weights)` if there is a target a step and lengths vary.

        Inputs: tokens are int32 `(batch, time)`, 0 for padding: models need
        `vocabulary_size`, and `mask_zero=True` where lengths vary. Images are float32
        `(batch, time, features)` from -1 to 1. Floats are float32 `(batch, time,
        features)`, as they are, with `task.padding` after the end. For pairs the
        inputs are two tensors, padded to one length.

        Targets: classes are int32 `(batch,)`, values float32 `(batch, values)`. With a
        target a step they are `(batch, time)` and `(batch, time, values)`, padded with
        zeros; the sample weights, float32 `(batch, time)`, are 1 for steps and 0 for
        padding.

    Raises:
        ValueError: If an argument is not as above, is meant for images and the task is
            not, or the other way round; or if the dataset is not what the task says, or
            in ArrayRecord files, which only `as_data_source` reads.
        FileNotFoundError: If the dataset is not prepared, and `download` is `False`;
            says how to prepare it.
        OSError: If a file of the prepared dataset is missing or damaged; says which,
            and how to prepare it again.

    References:
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006);
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), appendix D.

    Example:
        >>> import tempfile
        >>> from keras_lru.datasets import ListOpsConfig, load
        >>> few = ListOpsConfig(
        ...     train_examples=8,
        ...     validation_examples=4,
        ...     test_examples=4,
        ...     min_size=10,
        ...     max_size=30,
        ... )
        >>> with tempfile.TemporaryDirectory() as data_dir:
        ...     batches = load(
        ...         "listops",
        ...         "train",
        ...         batch_size=4,
        ...         config=few,
        ...         data_dir=data_dir,
        ...         download=True,
        ...         max_length=32,
        ...         buckets=(32,),
        ...     )
        Downloading and preparing dataset ...
        >>> [tuple(tokens.shape) for tokens, labels in batches]
        [(4, 32), (4, 32)]
    """
    task = get_task(task)
    check_positive_integer("batch_size", batch_size)
    check_positive_integer("downsample", downsample)
    for name, value in (
        ("seed", seed),
        ("start_step", start_step),
        ("permutation_seed", permutation_seed),
    ):
        check_non_negative_integer(name, value)
    check_shards(batch_size, num_shards, shard_index)
    unused = (
        {"max_length": max_length, "buckets": buckets or None}
        if task.is_image
        else {
            "downsample": None if downsample == 1 else downsample,
            "grayscale": grayscale or None,
        }
    )
    for name, option in unused.items():
        if option is not None:
            kind = "tokens and floats" if task.is_image else "images"
            raise ValueError(
                f"`{name}` is for {kind}, which task {task.name!r} does not read. "
                f"Received: {name}={option!r}"
            )
    if shuffle is None:
        shuffle = split == "train"
    if drop_remainder is None:
        drop_remainder = shuffle
    # What is wrong is told before anything is prepared.
    tfds_split(task, split)
    if not task.is_image:
        padded_lengths(task, max_length, buckets)

    builder = prepared_builder(task, config, data_dir, download)
    check_split(builder, task, split)
    check_format(builder)
    length = check_features(builder, task)
    if task.is_image:
        examples = read_images(
            builder, task, split, downsample, grayscale, permutation_seed
        )
        padded = [int(examples.lengths[0])]
    else:
        padded = padded_lengths(task, max_length, buckets, length)
        examples = read_sequences(builder, task, split, padded[-1])
    batches = Batches(
        examples.lengths,
        batch_size,
        padded,
        drop_remainder,
        seed=seed if shuffle else None,
        name=f"{task.name}/{split}",
        num_shards=num_shards,
        shard_index=shard_index,
    )
    # By the dataset, not by the split: all splits have batches of one structure.
    weigh_steps = task.per_step and length is None
    return make_dataset(
        examples, batches, task.is_image, start_step, repeat, weigh_steps
    )


def check_shards(batch_size: int, num_shards: int, shard_index: int) -> None:
    """Raise `ValueError` unless batches can be cut into these parts.

    Args:
        batch_size: As of `load`.
        num_shards: As of `load`.
        shard_index: As of `load`.
    """
    check_positive_integer("num_shards", num_shards)
    check_non_negative_integer("shard_index", shard_index)
    if shard_index >= num_shards:
        raise ValueError(
            f"`shard_index` must be less than `num_shards`, {num_shards}. "
            f"Received: shard_index={shard_index}"
        )
    if batch_size % num_shards:
        raise ValueError(
            f"`batch_size` must be a multiple of `num_shards`, {num_shards}. "
            f"Received: batch_size={batch_size}"
        )


def padded_lengths(
    task: Task,
    max_length: int | None,
    buckets: Sequence[int] | None,
    length: int | None = None,
) -> list[int]:
    """The lengths that batches are padded to, in order.

    Args:
        task: A task on tokens or on floats.
        max_length: As of `load`.
        buckets: As of `load`.
        length: The length that all sequences have, or `None` where lengths vary.

    Returns:
        Increasing integers, the last one `max_length`, or `length` if that is less.

    Raises:
        ValueError: If a length is not a positive integer.

    Example:
        >>> from keras_lru.datasets.reading.loading import padded_lengths
        >>> from keras_lru.datasets.tasks import get_task
        >>> padded_lengths(get_task("text"), None, None)
        [512, 1024, 2048, 4096]
    """
    if max_length is None:
        max_length = length or task.length
    check_positive_integer("max_length", max_length)
    max_length = min(max_length, length or max_length)
    if buckets is None:
        buckets = [-(-max_length // part) for part in (8, 4, 2)]
    if not isinstance(buckets, Sequence) or not all(
        is_number(bucket, numbers.Integral) and bucket > 0 for bucket in buckets
    ):
        raise ValueError(
            "`buckets` must be a sequence of positive integers. "
            f"Received: buckets={buckets!r}"
        )
    return sorted({b for b in buckets if b < max_length} | {max_length})
