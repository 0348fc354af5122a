"""Where the weights of recurrences go."""

import keras
import numpy as np
import pytest
from keras.distribution import DeviceMesh

from keras_lru import LRU, S5, LRUCell, SequenceClassifier
from keras_lru.distribution import layout_map


def mesh():
    return DeviceMesh((2, 4), ["batch", "model"], [f"cpu:{i}" for i in range(8)])


def classifier(recurrence=None):
    return SequenceClassifier(
        3, depth=1, units=6, state_size=8, bidirectional=True, recurrence=recurrence
    )


@pytest.mark.parametrize(
    "layer",
    [
        lambda: LRU(6, 8),
        lambda: LRU(6, 8, parameterization="exp"),
        lambda: LRU(6, 8, parameterization="real_imag"),
        lambda: S5(6, 16),
        lambda: keras.layers.RNN(LRUCell(6, 8)),
        classifier,
        lambda: classifier(S5(6, 16, return_sequences=True)),
    ],
)
def test_the_axis_of_the_states_is_split(layer):
    layer, layouts = layer(), layout_map(mesh())
    layer(np.zeros((2, 5, 6), "float32"))
    found = 0
    for weight in layer.weights:
        layout, shape = layouts[weight.path], tuple(weight.shape)
        split = layout is not None and "model" in layout.axes
        assert split == (8 in shape)
        if split:
            found += 1
            assert layout.axes.index("model") == shape.index(8)
    assert found >= 6


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match=r"`model` must be the name of an axis.*'seq'"):
        layout_map(mesh(), model="seq")
    with pytest.raises(ValueError, match=r"`device_mesh` must be a keras\..*8"):
        layout_map(8)
