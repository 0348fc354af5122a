"""Where a task's examples lie, prepared by TFDS; if not, how to prepare them."""

import os

import tensorflow_datasets as tfds

from keras_lru.datasets.preparing import prepare
from keras_lru.datasets.reading.damage import make_builder
from keras_lru.datasets.reading.dataset_checks import check_split, tfds_split
from keras_lru.datasets.reading.how_to_prepare import how_to_prepare
from keras_lru.datasets.tasks import Task, get_task


def prepared_builder(task: Task, config=None, data_dir=None, download: bool = False):
    """The TFDS builder of a task's dataset, if there is something to read.

    Args:
        task: A `Task`.
        config: As of `load`.
        data_dir: As of `load`.
        download: As of `load`.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        FileNotFoundError: If the dataset is not prepared, and `download` is `False`;
            says how to prepare it.
        OSError: If it is prepared, and a file that describes it is missing or damaged;
            says which.
    """
    name, _, default = task.dataset.partition("/")
    # TFDS would make a folder named `~`.
    data_dir = None if data_dir is None else os.path.expanduser(data_dir)
    builder = make_builder(name, config or default or None, data_dir)
    if download:
        prepare(builder)
    if not builder.is_prepared():
        raise FileNotFoundError(
            f"{builder.info.full_name} must be prepared in {builder.data_dir}. "
            f"{how_to_prepare(builder)}"
        )
    return builder


def num_examples(
    task: str | Task,
    split: str,
    *,
    config: str | tfds.core.BuilderConfig | None = None,
    data_dir: str | None = None,
) -> int:
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
        OSError: If it is damaged.
    """
    task = get_task(task)
    tfds_split(task, split)
    builder = prepared_builder(task, config, data_dir)
    return check_split(builder, task, split)
