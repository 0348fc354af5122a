"""Which weights the optimizer treats as recurrent: the marked, or the named."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRU, RGLRU, S4D, S5, DenseRNN
from keras_lru.training import (
    RECURRENT_VARIABLES,
    AdamW,
    TrainingCheckpoint,
    data_parallel,
)

_PLAIN = {"normalize": False}
LAYERS = {
    "lru": (LRU, {}, ["nu_log", "theta_log", "gamma_log", "B_re", "B_im"]),
    "exp": (
        LRU,
        {"parameterization": "exp", **_PLAIN},
        ["nu", "theta", "B_re", "B_im"],
    ),
    "real_imag": (
        LRU,
        {"parameterization": "real_imag", **_PLAIN},
        ["lambda_re", "lambda_im", "B_re", "B_im"],
    ),
    "s4d": (S4D, {"state_size": 2}, ["nu_log", "lambda_im", "log_delta"]),
    "s5": (
        S5,
        {"state_size": 4},
        ["lambda_re", "lambda_im", "log_delta", "B_re", "B_im"],
    ),
    "dense": (DenseRNN, {}, ["A", "B"]),
    "rg_lru": (RGLRU, {}, ["Lambda"]),
}


def frozen(optimizer, variables):
    """Names of the variables that a step at a factor of 0 leaves as they are."""
    before = [v.numpy() for v in variables]
    optimizer.apply([ops.ones(v.shape) for v in variables], variables)
    return [
        v.name
        for v, value in zip(variables, before, strict=True)
        if np.array_equal(v.numpy(), value)
    ]


@pytest.mark.parametrize("names", [None, RECURRENT_VARIABLES], ids=["marks", "names"])
@pytest.mark.parametrize("kind", LAYERS)
def test_factor_is_for_the_recurrent_weights_of_every_layer(kind, names):
    make, arguments, expected = LAYERS[kind]
    layer = make(3, **arguments)
    layer.build((None, None, 3))
    optimizer = AdamW(0.1, recurrent_lr_factor=0, recurrent_variables=names)
    assert frozen(optimizer, layer.trainable_variables) == expected


class Affine(keras.layers.Layer):
    """Somebody else's layer, whose weights are named like recurrent ones."""

    def __init__(self, is_recurrent=False, **kwargs):
        super().__init__(**kwargs)
        self.is_recurrent = is_recurrent

    def build(self, input_shape):
        width = input_shape[-1]
        self.A = self.add_weight(shape=(width, width), initializer="identity", name="A")
        self.B = self.add_weight(shape=(width,), initializer="ones", name="B")
        self.A.is_recurrent = self.is_recurrent


def train(optimizer, layer, steps=3):
    """The weights of a layer after some uneven gradients."""
    layer.build((None, 3))
    rng = np.random.default_rng(0)
    for _ in range(steps):
        gradients = [
            ops.convert_to_tensor(rng.normal(size=weight.shape).astype("float32"))
            for weight in layer.weights
        ]
        optimizer.apply(gradients, layer.trainable_variables)
    return layer.get_weights()


def test_weights_of_the_same_names_get_the_full_rate_and_decay():
    ours = train(AdamW(0.01, 0.1, recurrent_lr_factor=0.25), Affine())
    theirs = train(keras.optimizers.AdamW(0.01, 0.1), Affine())
    for a, b in zip(ours, theirs, strict=True):
        # On PyTorch Keras's own has another order of products.
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_a_marked_weight_of_one_s_own_gets_the_factor_and_no_decay():
    A, B = train(AdamW(0.01, 0.1, recurrent_lr_factor=0.25), Affine(is_recurrent=True))
    slow, _ = train(keras.optimizers.Adam(0.0025), Affine())
    _, full = train(keras.optimizers.AdamW(0.01, 0.1), Affine())
    np.testing.assert_allclose(A, slow, rtol=1e-6)
    np.testing.assert_array_equal(B, full)


def test_names_count_in_place_of_marks():
    layer = Affine(is_recurrent=True)
    layer.build((None, 3))
    optimizer = AdamW(0.1, recurrent_lr_factor=0, recurrent_variables=["B"])
    assert frozen(optimizer, layer.trainable_variables) == ["B"]


def make_model(**options):
    model = keras.Sequential(
        [
            keras.Input((2, 3)),
            keras.layers.Bidirectional(LRU(3)),
            keras.layers.Dense(1),
        ]
    )
    optimizer = AdamW(0.1, recurrent_lr_factor=0, **options)
    model.compile(optimizer, "mse")
    model.optimizer.build(model.trainable_variables)
    return model


RECURRENT = 2 * LAYERS["lru"][2]


def test_copies_of_a_model_are_marked_too():
    copy = keras.models.clone_model(make_model())
    assert frozen(AdamW(recurrent_lr_factor=0), copy.trainable_variables) == RECURRENT


@pytest.mark.parametrize("names", [None, RECURRENT_VARIABLES], ids=["marks", "names"])
def test_loaded_models_go_on_with_marks_or_names(names, tmp_path):
    # Files written before there were marks hold the names.
    make_model(recurrent_variables=names).save(tmp_path / "model.keras")
    model = keras.models.load_model(tmp_path / "model.keras")
    expected = None if names is None else list(names)
    assert model.optimizer.get_config()["recurrent_variables"] == expected
    assert model.optimizer.built
    assert frozen(model.optimizer, model.trainable_variables) == RECURRENT


X, Y = np.ones((2, 3), "float32"), np.ones((2, 1), "float32")


def dense_model():
    """A small model of which all but the bias is marked."""
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(1, kernel_initializer="ones")]
    )
    model.layers[0].kernel.is_recurrent = True
    model.compile(AdamW(0.1, recurrent_lr_factor=0), "mse")
    return model


def assert_just_the_bias_is_trained(model):
    kernel, bias = model.get_weights()
    np.testing.assert_array_equal(kernel, np.ones((3, 1)))
    assert bias != 0


def test_a_resumed_run_goes_on_with_marks(tmp_path):
    for epochs in (1, 2):
        model, checkpoint = dense_model(), TrainingCheckpoint(tmp_path / "state.npz")
        model.fit(
            X,
            Y,
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            callbacks=[checkpoint],
            verbose=0,
        )
        assert_just_the_bias_is_trained(model)


def test_training_on_all_devices_finds_the_marks():
    with data_parallel():
        model = dense_model()
        model.fit(X, Y, verbose=0)
    assert_just_the_bias_is_trained(model)
