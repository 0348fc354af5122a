"""Whether a dataset has what a task reads, told before anything is read."""

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import file_adapters

from keras_lru.checks import check_choice
from keras_lru.datasets.tasks import Task


def tfds_split(task: Task, split: str) -> str:
    """TFDS's name for a split: the last tenth of train may serve for validation.

    Args:
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        A string.

    Raises:
        ValueError: If `split` is another.

    Example:
        >>> from keras_lru.datasets import get_task
        >>> from keras_lru.datasets.reading.dataset_checks import tfds_split
        >>> tfds_split(get_task("text"), "validation")
        'train[90%:]'
    """
    check_choice("split", split, ("train", "validation", "test"))
    if not task.held_out:
        return split
    return {"train": "train[:90%]", "validation": "train[90%:]"}.get(split, split)


def check_split(builder, task: Task, split: str) -> int:
    """The number of examples of a split.

    Args:
        builder: A prepared TFDS builder.
        task: A `Task`.
        split: `"train"`, `"validation"` or `"test"`.

    Returns:
        A positive integer.

    Raises:
        ValueError: If the dataset has no such split, or nothing in it.
    """
    name = tfds_split(task, split)
    splits = builder.info.splits
    if name.partition("[")[0] not in splits:
        raise ValueError(
            f"`split` must be one of {builder.info.full_name}, which has "
            f"{sorted(splits)}; a task with held_out=True validates on the last tenth "
            f"of 'train'. Received: split={split!r}"
        )
    count = splits[name].num_examples
    if not count:
        raise ValueError(
            f"`split` must have examples. Received: split={split!r}, which is empty "
            f"in {builder.info.full_name}"
        )
    return count


def check_format(builder) -> None:
    """Whether TensorFlow reads the files of a dataset.

    Args:
        builder: A prepared TFDS builder.

    Raises:
        ValueError: If they are ArrayRecord files.
    """
    file_format = builder.info.file_format
    if file_format == file_adapters.FileFormat.ARRAY_RECORD:
        raise ValueError(
            "`data_dir` must hold files that TensorFlow reads, such as those that "
            f"file_format='tfrecord' prepares. Received: {builder.info.full_name} in "
            f"{builder.data_dir}, prepared with file_format={file_format.value!r}, "
            "which only TFDS's `as_data_source` reads"
        )


def check_features(builder, task: Task) -> int | None:
    """The length that all sequences of a dataset have.

    Args:
        builder: A TFDS builder.
        task: A `Task`.

    Returns:
        An integer, with the end token; `None` where lengths vary, and for images.

    Raises:
        ValueError: If a feature is missing, or is not what the task says.
    """
    infos = [_tensor_info(builder, "keys", key) for key in task.keys]
    for key, info in zip(task.keys, infos, strict=True):
        wanted = _wanted_input(task, info)
        if wanted:
            raise _bad_feature(builder, "keys", key, wanted, info)
    info = _tensor_info(builder, "target_key", task.target_key)
    wanted = _wanted_target(task, info)
    if wanted:
        raise _bad_feature(builder, "target_key", task.target_key, wanted, info)
    if task.is_image:
        return None
    lengths = [info.shape[0] if info.shape else None for info in infos]
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return None
    return max(known) + (task.end_token is not None)


def _tensor_info(builder, argument, key):
    infos = builder.info.features.get_tensor_info()
    if not isinstance(infos, dict) or key not in infos:
        raise ValueError(
            f"`{argument}` must be among the features of {builder.info.full_name}: "
            f"{sorted(infos) if isinstance(infos, dict) else infos}. "
            f"Received: {argument}={key!r}"
        )
    info = infos[key]
    if not isinstance(info, tfds.features.TensorInfo):
        raise _bad_feature(builder, argument, key, "a tensor, not several", info)
    return info


def _bad_feature(builder, argument, key, wanted, info):
    if isinstance(info, tfds.features.TensorInfo):
        info = f"shape {info.shape} and dtype {np.dtype(info.np_dtype).name}"
    return ValueError(
        f"`{argument}` must name {wanted}. Received: {argument}={key!r}, "
        f"which has {info} in {builder.info.full_name}"
    )


def _wanted_input(task, info):
    """What a feature of sequences must be, or `None` if it is that."""
    rank = len(info.shape)
    if task.inputs == "pixels":
        right = rank == 3 and None not in info.shape and _is_integer(info)
        return None if right else "images, integers (height, width, channels)"
    if task.inputs == "tokens":
        right = (rank == 1 and _is_integer(info)) or (rank == 0 and _is_text(info))
        return None if right else "texts, or integers (time,), with inputs='tokens'"
    features = info.shape[1] if rank == 2 else 1
    right = rank in (1, 2) and _is_number(info) and features == task.features
    return None if right else f"numbers (time, {task.features}) with inputs='floats'"


def _wanted_target(task, info):
    """What the feature of targets must be, or `None` if it is that."""
    shape, where = info.shape, ""
    if task.per_step:
        if not shape:
            return "a target a step, (time,) or (time, values), with per_step=True"
        shape, where = shape[1:], " a step"
    if task.target == "class":
        right = not shape and _is_integer(info)
        return None if right else f"an integer{where} with target='class'"
    right = len(shape) <= 1 and None not in shape and _is_number(info)
    return None if right else f"a number or a vector{where} with target='value'"


def _is_integer(info):
    return np.dtype(info.np_dtype).kind in "iub"


def _is_number(info):
    return np.dtype(info.np_dtype).kind in "iubf"


def _is_text(info):
    return np.dtype(info.np_dtype).kind in "OSU"
