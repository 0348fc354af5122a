"""Models that cannot be streamed: refused by the name of their layer."""

import keras
import pytest
from keras import ops

from keras_lru import LRU, PairClassifier, SequenceClassifier, SequenceRegressor
from keras_lru.export import export_saved_model

from .samples import SIZES, both_features, built, features


class Reversed(keras.layers.Layer):
    """Mixes time steps in a way that nothing tells."""

    def call(self, inputs):
        return ops.flip(inputs, axis=1)


def stack(*layers):
    return keras.Sequential([LRU(3, return_sequences=True), *layers])


def shared_layer():
    a, b = keras.Input((None, 3)), keras.Input((None, 3))
    shared = LRU(2, return_sequences=True, name="shared")
    return keras.Model([a, b], shared(a) + shared(b))


def decoder():
    x = keras.Input((None, 3))
    _, *states = keras.layers.LSTM(2, return_state=True)(x)
    decoder = keras.layers.LSTM(2, return_sequences=True, name="decoder")
    return keras.Model(x, decoder(x, initial_state=states))


@pytest.mark.parametrize(
    ("make", "layer", "reason"),
    [
        (
            lambda: SequenceRegressor(2, bidirectional=True, **SIZES),
            r"'bidirectional' \(Bidirectional\)",
            "it reads the sequence from its end too",
        ),
        (
            lambda: SequenceRegressor(2, bidirectional=True, **{**SIZES, "depth": 2}),
            r"'block_0/bidirectional' \(Bidirectional\)",
            "it reads the sequence from its end too",
        ),
        (
            lambda: SequenceClassifier(2, **SIZES),
            r"'pooling' \(SequencePooling\)",
            "it pools over the whole sequence, mode='mean'",
        ),
        (
            lambda: PairClassifier(2, pooling="last", **SIZES, name="pair"),
            r"'pair' \(PairClassifier\)",
            "it reads two sequences",
        ),
        (
            lambda: stack(LRU(2, go_backwards=True, name="backwards")),
            r"'backwards' \(LRU\)",
            "go_backwards=True, it reads the sequence from its end",
        ),
        (
            lambda: stack(keras.layers.LSTM(2, stateful=True, name="kept")),
            r"'kept' \(LSTM\)",
            "stateful=True, it has states of its own",
        ),
        (
            lambda: stack(keras.layers.Conv1D(2, 3, padding="causal", name="conv")),
            r"'conv' \(Conv1D\)",
            "in pieces its outputs are not those of the whole",
        ),
        (
            lambda: stack(keras.layers.GlobalAveragePooling1D(name="average")),
            r"'average' \(GlobalAveragePooling1D\)",
            "in pieces its outputs are not those of the whole",
        ),
        (
            lambda: stack(Reversed(name="mine")),
            r"'mine' \(Reversed\)",
            "in pieces its outputs are not those of the whole",
        ),
        (
            lambda: keras.Sequential([keras.layers.Dense(2)], name="no_memory"),
            r"'no_memory' \(Sequential\)",
            "it has no recurrent layer",
        ),
        (shared_layer, r"'shared' \(LRU\)", "it reads two sequences"),
        (
            decoder,
            r"'decoder' \(LSTM\)",
            "its initial state comes from another layer, for each piece anew",
        ),
    ],
)
def test_models_that_cannot_be_streamed_are_refused(make, layer, reason, tmp_path):
    model = make()
    pair = isinstance(model, PairClassifier)
    built(model, both_features if pair else features)
    message = (
        f"`model` cannot be streamed; .* layer {layer} stands in the way: {reason}"
    )
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())
