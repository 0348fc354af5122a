import importlib
import sys

import pytest
import tensorflow_datasets as tfds

import keras_lru.datasets  # noqa: F401


def test_importing_registers_the_builders():
    names = {"copy_memory", "lra_aan", "lra_listops", "lra_pathfinder"}
    assert names <= set(tfds.list_builders())


def test_without_tfds_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras_lru.datasets")
    monkeypatch.setitem(sys.modules, "tensorflow_datasets", None)
    with pytest.raises(ImportError, match=r'pip install "keras-lru\[datasets\]"'):
        importlib.import_module("keras_lru.datasets")
