"""What the dense RNN has of its own; the rest is in `test_recurrences`."""

import keras
import numpy as np
import pytest

from keras_lru.layers import DenseRNN, DenseRNNCell
from keras_lru.ops import naive

from .lru_reference import BATCH, CLOSE, MASKS, TIME, inputs, numpy_of, weights_of

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
    layer = build(
        STATES,
        feedthrough="none",
        output_initializer=identity,
        return_sequences=True,
        return_state=True,
    )
    simple = keras.layers.SimpleRNN(
        STATES, use_bias=False, return_sequences=True, return_state=True
    )
    simple.build((BATCH, None, FEATURES))
    A, B, _ = layer.get_weights()
    simple.set_weights([B, A])
    for a, b in zip(
        layer(inputs(), mask=MASKS[mask]),
        simple(inputs(), mask=MASKS[mask]),
        strict=True,
    ):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


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
    x = inputs(features=features)
    y, _ = naive.dense_rnn(x, *(weights.get(name) for name in "ABCD"), np.tanh)
    y = y if return_sequences else y[:, -1]
    np.testing.assert_allclose(numpy_of(layer(x)), y, **CLOSE)


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


def test_any_function_is_an_activation(tmp_path):
    layer = build(4, activation=keras.ops.sin)
    assert layer.activation is layer.cell.activation is keras.ops.sin
    y, _ = naive.dense_rnn(
        inputs(), *(weights_of(layer)[name] for name in "ABCD"), np.sin
    )
    np.testing.assert_allclose(numpy_of(layer(inputs())), y[:, -1], **CLOSE)


ARGUMENTS = {
    "units": 4,
    "state_size": 6,
    "activation": "relu",
    "feedthrough": "matrix",
    "recurrent_initializer": "orthogonal",
    "input_initializer": "glorot_uniform",
    "output_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=1),
    "feedthrough_initializer": "zeros",
    "recurrent_regularizer": "l1",
    "input_regularizer": keras.regularizers.L2(0.1),
    "output_regularizer": "l2",
    "feedthrough_regularizer": "l2",
    "activity_regularizer": keras.regularizers.L2(0.3),
    "recurrent_constraint": "non_neg",
    "input_constraint": keras.constraints.MaxNorm(2.0),
    "output_constraint": "unit_norm",
    "feedthrough_constraint": "non_neg",
    "return_sequences": True,
    "return_state": True,
    "go_backwards": True,
    "stateful": True,
    "zero_output_for_mask": True,
    "seed": 7,
    "name": "my_rnn",
    "dtype": keras.DTypePolicy("mixed_bfloat16"),
    "trainable": False,
}


def test_config_round_trip():
    config = DenseRNN(**ARGUMENTS).get_config()
    assert config.keys() == ARGUMENTS.keys() == DenseRNN(4).get_config().keys()
    restored = DenseRNN.from_config(config)
    assert restored.get_config() == config
    assert restored.compute_dtype == restored.cell.compute_dtype == "bfloat16"
    assert restored.input_regularizer.get_config() == {"l2": np.float32(0.1)}
    cell = restored.cell.get_config()
    assert DenseRNNCell.from_config(cell).get_config() == cell


def test_regularizers_and_constraints():
    layer = build(
        4,
        recurrent_regularizer=keras.regularizers.L1(0.1),
        output_regularizer=keras.regularizers.L2(0.3),
        input_constraint="non_neg",
    )
    weights = weights_of(layer)
    expected = [0.1 * abs(weights["A"]).sum(), 0.3 * (weights["C"] ** 2).sum()]
    np.testing.assert_allclose([numpy_of(x) for x in layer.losses], expected, rtol=1e-5)
    assert isinstance(layer.cell.B.constraint, keras.constraints.NonNeg)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"state_size": 0}, "`state_size` must be a positive integer.*state_size=0"),
        ({"activation": "no_such"}, "`activation` must be .*activation='no_such'"),
        ({"activation": 3}, "`activation` must be .*activation=3"),
        ({"feedthrough": "dense"}, "`feedthrough` must be one of .*'dense'"),
    ],
)
@pytest.mark.parametrize("kind", [DenseRNN, DenseRNNCell])
def test_bad_argument(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**{"units": 4, **arguments})


def test_vector_feedthrough_of_other_dimensions():
    message = '`feedthrough="vector"` .*units=4, inputs of 2 features'
    with pytest.raises(ValueError, match=message):
        build(4, feedthrough="vector")


def test_masked_steps_repeat_the_feedthrough_too():
    """The output of a step has the step's own input in it."""
    layer = build(4, return_sequences=True)
    y = numpy_of(layer(inputs(), mask=MASKS["right"]))
    assert TIME > 4
    np.testing.assert_array_equal(y[1, 4:], y[1, 3:4].repeat(TIME - 4, 0))
