"""Prepared datasets that have lost a file, or whose files are not whole."""

import contextlib
import json
import tempfile
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import constants, file_adapters

from keras_lru.datasets.reading.how_to_prepare import WRITE_AGAIN, how_to_prepare


def make_builder(name: str, config=None, data_dir=None):
    """`tfds.builder`, but a damaged folder is told by name.

    Args:
        name: Name of a TFDS dataset, without its config.
        config: As of `load`.
        data_dir: As of `load`.

    Returns:
        A `tfds.core.DatasetBuilder`.

    Raises:
        OSError: If a file that describes the prepared dataset is missing or damaged.
    """
    try:
        builder = tfds.builder(name, config=config, data_dir=data_dir)
    except Exception as error:
        root = tfds.core.Path(data_dir or constants.DATA_DIR)
        found = _damaged_description(root / name, getattr(config, "name", config))
        if found is None:
            raise
        # A builder that sees nothing of the folder, if there is code for one.
        with tempfile.TemporaryDirectory() as nowhere:
            try:
                builder = tfds.builder(name, config=config, data_dir=nowhere)
                how = how_to_prepare(builder, root)
            except Exception:
                how = WRITE_AGAIN
        path, what = found
        raise _error(path, what, name, path.parent, how) from error
    info = builder.data_path / constants.DATASET_INFO_FILENAME
    if builder.data_path.exists() and not info.exists():
        raise _damage(builder, info, "is missing")
    return builder


def _damaged_description(folder, config):
    """The file that a builder can't be made from, and what is wrong with it."""
    # Without a config, and the versions of configs.
    patterns = [f"{config}/*"] if config else ["*", "*/*"]
    for version in sorted(path for part in patterns for path in folder.glob(part)):
        if not tfds.core.Version.is_valid(version.name) or not version.is_dir():
            continue
        for name, needed in (
            (constants.DATASET_INFO_FILENAME, True),
            (constants.FEATURES_FILENAME, True),
            (constants.METADATA_FILENAME, False),
        ):
            path = version / name
            if not path.exists():
                if needed:
                    return path, "is missing"
                continue
            try:
                json.loads(path.read_text())
            except ValueError:
                return path, "is damaged"
        try:
            tfds.builder_from_directory(version)
        except Exception:
            return version / constants.DATASET_INFO_FILENAME, "is damaged"
    return None


@contextlib.contextmanager
def naming_damage(builder, split: str) -> Iterator[None]:
    """Scope in which a split is read: an error names the file that it comes from.

    Args:
        builder: A prepared TFDS builder.
        split: TFDS's name of the split.

    Raises:
        OSError: If reading failed and a file is missing or damaged.
    """
    try:
        yield
    except Exception as error:
        found = _damaged_file(builder, split)
        if found is None:
            raise
        raise _damage(builder, *found) from error


def _damaged_file(builder, split):
    """The first file of a split that is not whole, and what is wrong with it."""
    try:
        adapter = file_adapters.ADAPTER_FOR_FORMAT[builder.info.file_format]
        parts = builder.info.splits[split].file_instructions
    except Exception:
        return builder.data_path / constants.DATASET_INFO_FILENAME, "is damaged"
    for part in parts:
        path = tfds.core.Path(part.filename)
        if not path.exists():
            return path, "is missing"
        try:
            records = adapter.make_tf_data(path)
            count = int(records.reduce(np.int64(0), lambda count, _: count + 1))
        except Exception:
            return path, "is damaged"
        if count != part.examples_in_shard:
            return path, f"has {count} of {part.examples_in_shard} examples"
    return None


def _damage(builder, path, what):
    name, how = builder.info.full_name, how_to_prepare(builder)
    return _error(path, what, name, builder.data_dir, how)


def _error(path, what, name, folder, how):
    kind = FileNotFoundError if what == "is missing" else OSError
    return kind(f"{path}, of the dataset {name}, {what}. Delete {folder}. {how}")
