"""What Keras asks of a layer, and what users of LSTM do with it."""

import copy
import pickle

import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing

from keras_lru.layers import LRU

from .lru_reference import (
    BATCH,
    CLOSE,
    FEATURES,
    MASKS,
    STATES,
    TIME,
    UNITS,
    initial_state,
    inputs,
    make,
    numpy_of,
    reference,
)


def sequential(time=None, **kwargs):
    return keras.Sequential(
        [keras.Input((time, FEATURES)), make(built=False, **kwargs)]
    )


def assert_same(a, b):
    np.testing.assert_allclose(numpy_of(a), numpy_of(b), rtol=1e-6, atol=1e-6)


# Keras's own gauntlet: configuration, shapes, dtypes, a training step


# Keras's harness trains on a generator with `shuffle` left true.
harness = pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")


def gauntlet(expected_output_shape, shape=(3, 4, 2), **kwargs):
    stateful = kwargs.get("stateful", False)
    testing.TestCase().run_layer_test(
        LRU,
        init_kwargs={"units": 5, **kwargs},
        input_shape=shape,
        expected_output_shape=expected_output_shape,
        expected_num_trainable_weights=8
        - (not kwargs.get("normalize", True))
        - (kwargs.get("feedthrough") == "none"),
        expected_num_non_trainable_weights=0,
        expected_num_non_trainable_variables=2 * stateful,
        expected_num_seed_generators=0,
        expected_num_losses=kwargs.pop("losses", 0),
        supports_masking=True,
        run_training_check=not kwargs.get("return_state", False),
    )


@harness
@pytest.mark.slow
@pytest.mark.parametrize(
    ("shape", "kwargs"),
    [
        ((3, 5), {}),
        ((3, 4, 5), {"return_sequences": True}),
        ((3, 5), {"normalize": False, "feedthrough": "none", "state_size": 7}),
        ((3, 4, 5), {"return_sequences": True, "go_backwards": True}),
        ((3, 5), {"stateful": True}),
        (((3, 5), (3, 5), (3, 5)), {"return_state": True}),
        (((3, 4, 5), (3, 5), (3, 5)), {"return_state": True, "return_sequences": True}),
        ((3, 5), {"parameterization": "exp"}),
        ((3, 5), {"parameterization": "real_imag"}),
        ((3, 5), {"scan": "associative", "block_size": 3}),
    ],
    ids=str,
)
def test_gauntlet(shape, kwargs):
    gauntlet(shape, **kwargs)


@harness
@pytest.mark.slow
def test_gauntlet_of_regularizers():
    testing.TestCase().run_layer_test(
        LRU,
        init_kwargs={
            "units": 5,
            "recurrent_regularizer": "l1",
            "input_regularizer": "l2",
            "output_regularizer": keras.regularizers.L2(0.1),
            "feedthrough_regularizer": "l1",
            "activity_regularizer": "l2",
            "input_constraint": "non_neg",
            "input_initializer": "ones",
        },
        input_shape=(3, 4, 2),
        expected_output_shape=(3, 5),
        expected_num_losses=8,
        supports_masking=True,
    )


# Kinds of models


@pytest.mark.parametrize("time", [0, 1, 2, 100])
def test_one_model_for_any_length(time):
    model = sequential(return_sequences=True)
    expected, _ = reference(model.layers[0], inputs(time))
    # Keras predicts nothing from no steps.
    y = model.predict(inputs(time), verbose=0) if time else model(inputs(time))
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


@pytest.mark.parametrize("return_sequences", [True, False])
def test_last_batch_may_be_smaller(return_sequences):
    model = sequential(return_sequences=return_sequences)
    expected, _ = reference(model.layers[0], inputs(batch=5))
    y = model.predict(inputs(batch=5), batch_size=2, verbose=0)
    np.testing.assert_allclose(y, expected, **CLOSE)


def test_functional_model_shares_a_layer():
    layer = make()
    first, second = keras.Input((None, FEATURES)), keras.Input((5, FEATURES))
    model = keras.Model([first, second], layer(first) - layer(second))
    expected = reference(layer, inputs())[0] - reference(layer, inputs(5))[0]
    y = model([inputs(), inputs(5)])
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)
    assert len(model.weights) == 8


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.first = LRU(4, return_sequences=True, seed=1)
        self.second = LRU(3, return_state=True, seed=2)

    def call(self, x, training=False):
        y, *state = self.second(self.first(x), training=training)
        return ops.concatenate([y, *state], axis=-1)


def test_subclassed_model(tmp_path):
    model = Subclassed()
    model.compile("sgd", "mse")
    model.fit(inputs(), np.zeros((BATCH, 9)), verbose=0)
    expected, (x_re, x_im) = reference(
        model.second, reference(model.first, inputs())[0]
    )
    y = model.predict(inputs(), verbose=0)
    np.testing.assert_allclose(y, np.concatenate([expected, x_re, x_im], 1), **CLOSE)
    model.save_weights(tmp_path / "model.weights.h5")
    other = Subclassed()
    other(inputs())
    other.load_weights(tmp_path / "model.weights.h5")
    assert_same(other(inputs()), y)


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"run_eagerly": True}, marks=pytest.mark.slow),
        {"jit_compile": False},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
@pytest.mark.parametrize("return_sequences", [True, False])
def test_training_changes_every_weight(options, return_sequences):
    model = sequential(return_sequences=return_sequences)
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    before = model.get_weights()
    target = np.zeros(model(inputs()).shape)
    loss = [model.train_on_batch(inputs(), target) for _ in range(2)]
    assert loss[1] < loss[0]
    for old, new in zip(before, model.get_weights(), strict=True):
        assert not np.array_equal(old, new)


def test_frozen_layer_does_not_learn():
    model = sequential()
    model.add(keras.layers.Dense(1))
    layer = model.layers[0]
    for trainable in (False, True):
        layer.trainable = trainable
        assert len(layer.trainable_weights) == 8 * trainable
        assert len(layer.non_trainable_weights) == 8 * (not trainable)
    layer.trainable = False
    model.compile(keras.optimizers.SGD(1.0), "mse")
    before = layer.get_weights()
    model.train_on_batch(inputs(), np.zeros((BATCH, 1)))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert not make(trainable=False).trainable_weights
    assert not LRU.from_config(layer.get_config()).trainable


def test_no_sequences():
    """As with LSTM: nothing in, nothing out."""
    layer = make(return_sequences=True, return_state=True)
    shapes = [tuple(y.shape) for y in layer(inputs(batch=0))]
    assert shapes == [(0, TIME, UNITS), (0, STATES), (0, STATES)]


def test_summary():
    lines = []
    model = sequential(return_sequences=True)
    model.summary(print_fn=lambda line, **kwargs: lines.append(line))
    text = "\n".join(lines)
    assert f"(None, None, {UNITS})" in text
    assert str(make().count_params()) in text


# Shapes


@pytest.mark.parametrize("shape", [(None, None, 2), (3, 7, 2), (3, None, 2)], ids=str)
@pytest.mark.parametrize("return_state", [True, False])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_output_shape(return_sequences, return_state, shape):
    layer = make(
        built=False, return_sequences=return_sequences, return_state=return_state
    )
    expected = (shape[0], shape[1], UNITS) if return_sequences else (shape[0], UNITS)
    if return_state:
        expected = (expected, (shape[0], STATES), (shape[0], STATES))
    assert layer.compute_output_shape(shape) == expected
    assert not layer.built
    y = layer(keras.Input(batch_shape=shape))
    found = tuple(part.shape for part in y) if return_state else y.shape
    assert found == expected


def test_returned_structure_is_that_of_lstm():
    layers = make(return_state=True), keras.layers.LSTM(UNITS, return_state=True)
    eager, lstm_eager = (layer(inputs()) for layer in layers)
    assert type(eager) is type(lstm_eager)
    assert len(eager) == len(lstm_eager) == 3


# Seeds


def test_seed_makes_weights_reproducible():
    first, second, other = make(), make(), make(seed=2)
    for a, b in zip(first.get_weights(), second.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(first.get_weights(), other.get_weights(), strict=True):
        assert not np.allclose(a, b)


def test_without_a_seed_the_global_one_decides():
    keras.utils.set_random_seed(3)
    first, second = make(seed=None), make(seed=None)
    keras.utils.set_random_seed(3)
    again = make(seed=None)
    for a, b, c in zip(
        first.get_weights(), second.get_weights(), again.get_weights(), strict=True
    ):
        assert not np.allclose(a, b)
        np.testing.assert_array_equal(a, c)


@pytest.mark.parametrize("seed", [0, -1, 2**31 - 1, 2**32 - 1, 2**63])
def test_any_integer_is_a_seed(seed):
    layer = make(seed=seed)
    assert np.isfinite(np.concatenate([w.ravel() for w in layer.get_weights()])).all()
    assert layer.get_config()["seed"] == seed


# Configuration and files

ARGUMENTS = {
    "units": 4,
    "state_size": 6,
    "r_min": 0.1,
    "r_max": 0.9,
    "max_phase": 1.0,
    "parameterization": "exp",
    "normalize": False,
    "feedthrough": "matrix",
    "input_initializer": "glorot_uniform",
    "output_initializer": keras.initializers.RandomNormal(stddev=0.1, seed=1),
    "feedthrough_initializer": {"class_name": "Zeros", "config": {}},
    "recurrent_regularizer": "l1",
    "input_regularizer": keras.regularizers.L2(0.1),
    "output_regularizer": keras.regularizers.L1L2(0.1, 0.2),
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
    "scan": "chunked",
    "block_size": 3,
    "seed": 7,
    "name": "my_lru",
    "dtype": keras.DTypePolicy("mixed_bfloat16"),
    "trainable": False,
}


def test_config_round_trip():
    layer = LRU(**ARGUMENTS)
    config = layer.get_config()
    assert config.keys() == ARGUMENTS.keys()
    for name in ("units", "state_size", "r_min", "scan", "block_size", "seed", "name"):
        assert config[name] == ARGUMENTS[name]
    restored = LRU.from_config(config)
    assert restored.get_config() == config
    assert restored.compute_dtype == restored.cell.compute_dtype == "bfloat16"
    for name in ("input_regularizer", "activity_regularizer", "input_constraint"):
        assert isinstance(getattr(restored, name), type(ARGUMENTS[name]))
        assert getattr(restored, name).get_config() == ARGUMENTS[name].get_config()


def test_config_has_every_argument():
    assert LRU(4).get_config().keys() == ARGUMENTS.keys()


def test_arguments_are_attributes():
    layer = LRU(**ARGUMENTS)
    for name in ("units", "r_min", "parameterization", "scan", "go_backwards", "seed"):
        assert getattr(layer, name) == ARGUMENTS[name]
    assert layer.output_initializer.stddev == 0.1


def test_registered_name():
    assert keras.saving.get_registered_name(LRU) == "keras_lru>LRU"


def test_numpy_scalars_are_saved(tmp_path):
    layer = make(units=np.int64(UNITS), r_min=np.float64(0.1), max_phase=np.float64(1))
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(inputs()), model(inputs()))


@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"parameterization": "real_imag", "normalize": False, "dtype": "mixed_float16"},
    ],
    ids=str,
)
def test_files(tmp_path, kwargs):
    model = sequential(return_sequences=True, seed=None, **kwargs)
    expected = numpy_of(model(inputs()))
    model.save(tmp_path / "model.keras")
    assert_same(keras.saving.load_model(tmp_path / "model.keras")(inputs()), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    assert not np.allclose(numpy_of(clone(inputs())), expected)
    clone.load_weights(tmp_path / "model.weights.h5")
    assert_same(clone(inputs()), expected)


def test_training_goes_on_after_reloading(tmp_path):
    model = sequential()
    model.compile("adam", "mse")
    target = np.ones((BATCH, UNITS))
    model.train_on_batch(inputs(), target)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each in (model, loaded):
        each.train_on_batch(inputs(), target)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "copier", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))]
)
def test_copies(copier):
    layer = make(seed=None)
    assert_same(copier(layer)(inputs()), layer(inputs()))
    assert copier(LRU(4))(inputs()).shape == (BATCH, 4)


def test_weights_by_hand():
    layer, other = make(), make(seed=2)
    other.set_weights(layer.get_weights())
    assert_same(other(inputs()), layer(inputs()))


# Regularizers and constraints


def test_regularizers():
    layer = make(
        recurrent_regularizer=keras.regularizers.L1(0.1),
        input_regularizer=keras.regularizers.L2(0.2),
        output_regularizer=keras.regularizers.L1(0.3),
        feedthrough_regularizer=keras.regularizers.L2(0.4),
    )
    weights = {w.name: numpy_of(w) for w in layer.weights}
    expected = [
        0.1 * abs(weights["nu_log"]).sum(),
        0.1 * abs(weights["theta_log"]).sum(),
        0.2 * (weights["B_re"] ** 2).sum(),
        0.2 * (weights["B_im"] ** 2).sum(),
        0.3 * abs(weights["C_re"]).sum(),
        0.3 * abs(weights["C_im"]).sum(),
        0.4 * (weights["D"] ** 2).sum(),
    ]
    np.testing.assert_allclose([numpy_of(x) for x in layer.losses], expected, rtol=1e-5)


def test_activity_regularizer_is_that_of_the_outputs():
    """Keras divides it by the batch size."""
    layer = make(activity_regularizer=keras.regularizers.L2(0.1))
    y = numpy_of(layer(inputs()))
    (loss,) = layer.losses
    np.testing.assert_allclose(numpy_of(loss), 0.1 * (y**2).sum() / BATCH, rtol=1e-4)


def test_constraints_hold_after_training():
    non_negative = ("recurrent", "input", "output", "feedthrough")
    model = sequential(**{f"{name}_constraint": "non_neg" for name in non_negative})
    model.compile(keras.optimizers.SGD(1.0), "mse")
    model.train_on_batch(inputs(), np.ones((BATCH, UNITS)))
    for weight in model.weights:
        if weight.name != "gamma_log":
            assert numpy_of(weight).min() >= 0, weight.name
    assert (numpy_of(model.weights[2]) < 0).any()


# Under each backend's own transformations


def test_stateless_call():
    layer = make(return_state=True, stateful=True)
    trainable = [v.value for v in layer.trainable_variables]
    kept = [ops.convert_to_tensor(part) for part in initial_state()]
    (y, *_), kept = layer.stateless_call(trainable, kept, inputs())
    expected, expected_last = reference(layer, inputs(), initial_state())
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)
    np.testing.assert_allclose(list(map(numpy_of, kept)), expected_last, **CLOSE)
    assert not np.any(numpy_of(layer.states[0]))


@pytest.mark.parametrize("return_sequences", [True, False])
def test_compiled_function_of_unknown_sizes(backend, return_sequences):
    if backend != "tensorflow":
        pytest.skip("JAX compiles for known sizes only")
    import tensorflow as tf

    layer = make(return_sequences=return_sequences)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, FEATURES)),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def function(x, mask):
        return layer(x), layer(x, mask=mask)

    for time in (0, 1, 2, 7, 100):
        mask = np.resize(MASKS["holes"], (BATCH, time))
        for y, kept in zip(function(inputs(time), mask), (None, mask), strict=True):
            expected, _ = reference(layer, inputs(time), mask=kept)
            np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)
