"""The house is easy to walk: what one call enters, and how deep classes are."""

import inspect
import pathlib
import sys

import keras
import numpy as np
import pytest

import keras_lru
from keras_lru import layers

HOUSE = pathlib.Path(keras_lru.__file__).parent


def test_a_masked_call_of_the_lru_enters_few_files():
    layer = layers.LRU(4, return_sequences=True)
    inputs, mask = np.ones((2, 5, 3), "float32"), np.ones((2, 5), bool)
    mask[0, 2] = False
    layer.build(inputs.shape)
    entered = set()

    def profile(frame, event, argument):
        if event == "call":
            entered.add(pathlib.Path(frame.f_code.co_filename))

    sys.setprofile(profile)
    try:
        layer(inputs, mask=mask)
    finally:
        sys.setprofile(None)
    entered = {path for path in entered if path.is_relative_to(HOUSE)}
    assert len(entered) <= 11, sorted(map(str, entered))


def depth(cls):
    """Classes from `cls` down to Keras's own `Layer`, both counted."""
    if cls is keras.layers.Layer:
        return 1
    return 1 + max(depth(b) for b in cls.__bases__ if issubclass(b, keras.layers.Layer))


@pytest.mark.parametrize("name", layers.__all__)
def test_layers_are_at_most_four_classes_deep(name):
    cls = getattr(layers, name)
    assert inspect.isclass(cls)
    assert depth(cls) <= 4
