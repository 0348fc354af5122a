import importlib
import sys

import pytest

import keras_lru.tuner  # noqa: F401


def test_without_keras_tuner_says_what_to_install(monkeypatch):
    monkeypatch.delitem(sys.modules, "keras_lru.tuner")
    monkeypatch.setitem(sys.modules, "keras_tuner", None)
    with pytest.raises(ImportError, match=r'pip install "keras-lru\[tuner\]"'):
        importlib.import_module("keras_lru.tuner")
