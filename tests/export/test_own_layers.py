"""Layers of one's own say how they run in a stream, or why they cannot."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRU
from keras_lru.export import export_saved_model
from keras_lru.export.input_signature import recorded_signature
from keras_lru.export.streaming_model import StreamingModel

from .samples import built, features


class Difference(keras.layers.Layer):
    """Each step less the one before it."""

    def call(self, inputs):
        return self._subtract(ops.zeros_like(inputs[:, :1]), inputs)

    def call_in_stream(self, inputs, *, states):
        before = states.read("before", self._before_the_first(inputs))
        states.write("before", inputs[:, -1])
        return self._subtract(before[:, None], inputs)

    def _before_the_first(self, inputs):
        return ops.zeros_like(inputs[:, 0])

    @staticmethod
    def _subtract(before, inputs):
        return inputs - ops.concatenate([before, inputs[:, :-1]], axis=1)


class CausalConvolution(keras.layers.Layer):
    """What one of Keras's own cannot say of itself."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.convolution = keras.layers.Conv1D(4, 3)

    def build(self, input_shape):
        self.convolution.build(input_shape)

    def call(self, inputs):
        return self.convolution(ops.pad(inputs, [[0, 0], [2, 0], [0, 0]]))

    def call_in_stream(self, inputs, *, states):
        nothing = ops.zeros_like(inputs[:, 0])
        window = states.read("window", ops.stack([nothing, nothing], axis=1))
        inputs = ops.concatenate([window, inputs], axis=1)
        states.write("window", inputs[:, -2:])
        return self.convolution(inputs)


class WithinTheBatch(Difference):
    def _before_the_first(self, inputs):
        zeros = ops.zeros_like(inputs[:, 0])
        return ops.concatenate([zeros[:1], zeros[1:] + 1.0], axis=0)


class Unread(Difference):
    def call_in_stream(self, inputs, *, states):
        states.write("before", inputs[:, -1])
        return inputs


class Growing(Difference):
    def call_in_stream(self, inputs, *, states):
        past = states.read("past", inputs[:, :0])
        states.write("past", ops.concatenate([past, inputs], axis=1))
        return inputs


class Untrue(Difference):
    """Its pieces go together, but are not what `call` gives."""

    def call_in_stream(self, inputs, *, states):
        return 2.0 * super().call_in_stream(inputs, states=states)


class Unwilling(Difference):
    cannot_stream = "it needs to be asked nicely"


class Counting(Difference):
    """It counts its calls."""

    def build(self, input_shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return super().call(inputs)


def stack(layer):
    return built(keras.Sequential([layer, LRU(3, return_sequences=True)]), features)


def test_states_of_an_own_layer_are_carried():
    model = stack(Difference(name="difference"))
    stream = StreamingModel(model, recorded_signature(model))
    assert sorted(stream.initial_state) == ["difference_before", "lru_x_im", "lru_x_re"]
    np.testing.assert_array_equal(
        stream.initial_state["difference_before"], np.zeros(3)
    )
    inputs = features(2, 9, seed=1)
    first, states = stream(inputs[:, :4], {})
    second, states = stream(inputs[:, 4:8], states)
    np.testing.assert_array_equal(states["difference_before"], inputs[:, 7])
    third, _ = stream(inputs[:, 8:], states)
    whole = ops.concatenate([first, second, third], axis=1)
    np.testing.assert_allclose(
        *map(ops.convert_to_numpy, (whole, model(inputs))), atol=1e-5
    )


def test_layers_inside_of_an_own_layer_are_its_own_affair():
    model = stack(CausalConvolution(name="mine"))
    stream = StreamingModel(model, recorded_signature(model))
    assert stream.initial_state["mine_window"].shape == (2, 3)


def test_trying_leaves_a_model_as_it_was():
    layer = Counting()
    model = stack(layer)
    before = float(layer.calls.value)
    StreamingModel(model, recorded_signature(model))
    assert float(layer.calls.value) == before
    model(features(2, 5))
    assert float(layer.calls.value) == before + 1


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (Unwilling, "it needs to be asked nicely"),
        (Untrue, "in pieces its outputs are not those of the whole"),
        (WithinTheBatch, "state 'mine_before' is not the same before all sequences"),
        (Unread, "it writes a state 'before' that it has not read"),
        (
            Growing,
            r"its state 'past' must keep its shape .* \(2, 0, 3\), .* \(2, 1, 3\)",
        ),
    ],
)
def test_what_an_own_layer_says_is_tried(kind, reason, tmp_path):
    message = rf"layer 'mine' \({kind.__name__}\) stands in the way: .*{reason}"
    with pytest.raises(ValueError, match=message):
        export_saved_model(stack(kind(name="mine")), tmp_path / "model")
    assert not list(tmp_path.iterdir())
