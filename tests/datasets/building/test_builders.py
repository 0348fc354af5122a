"""TFDS's own tests of builders."""

from typing import ClassVar
from unittest import mock

import tensorflow_datasets as tfds

from keras_lru.datasets import (
    CopyMemory,
    CopyMemoryConfig,
    ListOpsConfig,
    LraAan,
    LraListops,
)

from ..conftest import DUMMY_DATA

FEW = {"train_examples": 4, "validation_examples": 2, "test_examples": 3}


class LraListopsTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = LraListops
    EXAMPLE_DIR = DUMMY_DATA / "listops"
    BUILDER_CONFIG_NAMES_TO_TEST = (ListOpsConfig(**FEW),)
    SPLITS: ClassVar = {"train": 4, "validation": 2, "test": 3}


class LraListopsOriginalTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = LraListops
    EXAMPLE_DIR = DUMMY_DATA / "listops"
    BUILDER_CONFIG_NAMES_TO_TEST = (
        ListOpsConfig(
            original=True, train_examples=3, validation_examples=1, test_examples=2
        ),
    )
    SPLITS: ClassVar = {"train": 3, "validation": 1, "test": 2}


class LraAanTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = LraAan
    EXAMPLE_DIR = DUMMY_DATA / "aan"
    SPLITS: ClassVar = {"train": 3, "validation": 2, "test": 1}

    def setUp(self):
        super().setUp()
        files = (("train", "train", 3), ("validation", "eval", 2), ("test", "test", 1))
        self.enterContext(mock.patch.object(LraAan, "FILES", files))


class CopyMemoryTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = CopyMemory
    EXAMPLE_DIR = DUMMY_DATA
    BUILDER_CONFIG_NAMES_TO_TEST = (CopyMemoryConfig(delay=5, **FEW),)
    SPLITS: ClassVar = {"train": 4, "validation": 2, "test": 3}
