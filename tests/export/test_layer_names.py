"""Names of layers, from which the states of a stream have theirs."""

import keras

from keras_lru import LRU, SequenceRegressor
from keras_lru.export.layer_names import named_layers
from keras_lru.export.layer_states import LayerStates

from .samples import SIZES, built, features


def test_a_name_is_as_long_as_it_takes_to_tell_layers_apart():
    model = built(SequenceRegressor(1, **{**SIZES, "depth": 2}), features)
    names = named_layers(model)
    assert {"backbone", "block_0", "block_1", "head"} <= names.keys()
    assert names["block_0/lru"] is model.backbone.blocks[0].recurrence
    assert names["block_1/lru"] is model.backbone.blocks[1].recurrence
    assert "lru" not in names


def test_what_runs_its_layers_itself_is_named_alone():
    lru = LRU(2, return_sequences=True)
    model = keras.Sequential([lru, keras.layers.Bidirectional(LRU(2))])
    model.build((None, None, 3))
    names = named_layers(model)
    assert lru in names.values()
    assert lru.cell not in names.values()
    assert not {"forward_lru", "backward_lru"} & names.keys()


def test_states_are_named_by_their_layer():
    states = {}
    LayerStates("block_0/lru", states).read("x_re", [[0.0]])
    assert list(states) == ["block_0_lru_x_re"]
