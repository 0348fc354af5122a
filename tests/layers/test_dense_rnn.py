"""What the dense RNN has of its own: activations, Keras's `SimpleRNN`, D."""

import keras
import numpy as np
import pytest

from keras_lru.layers import DenseRNN

from .kinds import KINDS, Solver
from .sequences import (
    ALL,
    BATCH,
    MASKS,
    TIME,
    assert_close,
    normal,
    numpy_of,
    weights_of,
)

KIND = KINDS["dense_rnn"]
FEATURES, STATES = 2, 3


def build(*args, features=FEATURES, **kwargs):
    layer = DenseRNN(*args, **{"seed": 1, **kwargs})
    layer.build((BATCH, None, features))
    return layer


@pytest.mark.parametrize(
    "mask",
    [
        "holes",
        pytest.param("right", marks=pytest.mark.slow),
        pytest.param("left", marks=pytest.mark.slow),
    ],
)
def test_with_outputs_that_are_states_it_is_simple_rnn(mask):
    """Keras's own layer, masks and all."""
    identity = keras.initializers.Identity()
    layer = build(STATES, feedthrough="none", output_initializer=identity, **ALL)
    simple = keras.layers.SimpleRNN(
        STATES, use_bias=False, recurrent_initializer="zeros", **ALL
    )
    simple.build((BATCH, None, FEATURES))
    A, B, _ = layer.get_weights()
    simple.set_weights([B, A])
    found = Solver(layer)(KIND.inputs(), mask=MASKS[mask])
    assert_close(found, list(simple(KIND.inputs(), mask=MASKS[mask])))


def test_by_hand():
    """x = relu(2 x - u), y = 3 x + 10 u."""
    layer = DenseRNN(1, activation="relu", return_sequences=True, return_state=True)
    layer.build((1, None, 1))
    layer.set_weights([np.array(w) for w in ([[2]], [[-1]], [[3]], [10])])
    y, x = layer(np.float32([[[-1], [1], [3]]]))
    # x = 1, 2 - 1 = 1, relu(2 - 3) = 0
    np.testing.assert_allclose(numpy_of(y)[0, :, 0], [-7, 13, 30])
    assert numpy_of(x) == 0


@pytest.mark.parametrize(
    ("feedthrough", "features", "shape", "return_sequences"),
    [
        ("auto", 4, (4,), False),
        ("auto", 2, (2, 4), True),
        ("vector", 4, (4,), True),
        ("matrix", 4, (4, 4), True),
        ("matrix", 4, (4, 4), False),
        ("none", 4, None, False),
    ],
)
def test_feedthrough(feedthrough, features, shape, return_sequences):
    layer = build(
        4,
        STATES,
        feedthrough=feedthrough,
        features=features,
        return_sequences=return_sequences,
    )
    weights = weights_of(layer)
    assert (shape is None) == ("D" not in weights)
    if shape is not None:
        assert weights["D"].shape == shape
    x = normal(BATCH, TIME, features)
    assert_close(layer(x), KIND.outputs(layer, x))


def test_initial_weights_are_the_papers():
    weights = weights_of(build(300, 200, features=100, feedthrough="matrix"))
    shapes = {"A": (200, 200), "B": (100, 200), "C": (200, 300), "D": (100, 300)}
    variances = {"A": 1 / 200, "B": 1 / 100, "C": 1 / 200, "D": 1}
    for name, shape in shapes.items():
        assert weights[name].shape == shape
        # Of 20 000 numbers and more: 1 % is one deviation of the sample variance.
        assert abs(weights[name].var() / variances[name] - 1) < 0.04, name
        assert abs(weights[name].mean()) < 4 * np.sqrt(variances[name] / 20000), name
    # Of another sample each.
    assert not np.allclose(weights["A"][:100].ravel()[:99], weights["B"].ravel()[:99])


@pytest.mark.parametrize(
    "activation", ["relu", "linear", keras.ops.sin], ids=["relu", "linear", "sin"]
)
def test_activations(activation):
    """Names, and any function; gradients too."""
    layer = build(4, STATES, activation=activation, **ALL)
    assert layer.activation is layer.cell.activation
    assert layer.activation is keras.activations.get(activation)
    KIND.check_gradients(layer, KIND.inputs(), KIND.states())


def test_state_size_defaults_to_units():
    assert DenseRNN(5).state_size == [5]


def test_masked_steps_repeat_the_feedthrough_too():
    """The output of a step has the step's own input in it."""
    layer = build(4, return_sequences=True)
    y = numpy_of(layer(KIND.inputs(), mask=MASKS["right"]))
    assert TIME > 4
    np.testing.assert_array_equal(y[1, 4:], y[1, 3:4].repeat(TIME - 4, 0))
