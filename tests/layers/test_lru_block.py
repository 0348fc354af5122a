"""The block in one line: what it is made of, and where it stands."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRU, LRUBlock
from keras_lru.training import compile_recommended
from keras_lru.visualization import find_eigenvalues

BATCH, TIME, FEATURES, UNITS = 3, 7, 2, 4
MASK = np.arange(TIME) < np.array([[7], [4], [1]])


def inputs(features=FEATURES):
    shape = (BATCH, TIME, features)
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def numpy_of(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def test_it_is_an_encoder_a_residual_block_and_the_last_step():
    layer = LRUBlock(UNITS, state_size=3, seed=0)
    x = inputs()
    whole = layer.block(layer.encoder(x)) if layer(x) is not None else None
    np.testing.assert_allclose(numpy_of(layer(x)), numpy_of(whole)[:, -1], atol=1e-6)
    assert layer(x).shape == layer.compute_output_shape(x.shape) == (BATCH, UNITS)


@pytest.mark.parametrize("mode", ["mean", "max"])
def test_other_poolings(mode):
    x = inputs()
    steps = numpy_of(LRUBlock(UNITS, return_sequences=True, seed=0)(x))
    pooled = np.stack(
        [getattr(row[mask], mode)(0) for row, mask in zip(steps, MASK, strict=True)]
    )
    one = LRUBlock(UNITS, pooling=mode, seed=0)(x, mask=MASK)
    np.testing.assert_allclose(numpy_of(one), pooled, atol=1e-5)


def test_an_encoder_is_only_made_where_features_differ():
    layer = LRUBlock(UNITS)
    layer.build((None, None, UNITS))
    assert layer.encoder is None


def test_padding_does_not_count():
    layer = LRUBlock(UNITS, seed=0)
    x = inputs()
    padded = numpy_of(layer(x, mask=MASK))
    for row, mask in enumerate(MASK):
        alone = numpy_of(layer(x[row : row + 1, : mask.sum()]))
        np.testing.assert_allclose(padded[row], alone[0], atol=1e-5)


def test_it_stands_where_lstms_stood():
    model = keras.Sequential(
        [
            keras.layers.Masking(),
            LRUBlock(UNITS, return_sequences=True, dropout=0.1),
            LRUBlock(UNITS, bidirectional=True),
            keras.layers.Dense(2),
        ]
    )
    compile_recommended(model, 10, "mse", jit_compile=False)
    x = inputs() * MASK[..., None]
    model.fit(x, np.ones((BATCH, 2)), verbose=0)
    assert model.predict(x, verbose=0).shape == (BATCH, 2)
    assert len(find_eigenvalues(model)) == 3


@pytest.mark.parametrize(
    ("given", "initialization"),
    [
        ({}, "log_uniform"),
        ({"r_min": 0.5}, "ring"),
        ({"max_phase": 1.0}, "ring"),
        ({"r_max": 0.9, "initialization": "log_uniform"}, "log_uniform"),
        ({"initialization": "ring"}, "ring"),
    ],
)
def test_where_the_eigenvalues_start(given, initialization):
    layer = LRUBlock(UNITS, **given)
    assert layer.block.recurrence.cell.initialization == initialization
    assert layer.get_config()["initialization"] == initialization
    expected = LRU(UNITS, **{k: v for k, v in given.items() if k != "initialization"})
    for name in ("r_min", "r_max", "max_phase"):
        assert layer.get_config()[name] == getattr(expected.cell, name)


def test_config_and_file_round_trips(tmp_path):
    arguments = {
        "state_size": 3,
        "return_sequences": True,
        "pooling": "max",
        "r_min": 0.1,
        "r_max": 0.9,
        "max_phase": 1.0,
        "dropout": 0.1,
        "normalization": "rms",
        "glu": "half",
        "bidirectional": True,
        "activation": "relu",
        "norm_momentum": 0.9,
        "seed": 3,
        "name": "mine",
    }
    layer = LRUBlock(UNITS, **arguments)
    assert LRUBlock.from_config(layer.get_config()).get_config() == layer.get_config()
    assert arguments.items() <= layer.get_config().items()
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(numpy_of(again(inputs())), numpy_of(model(inputs())))


def test_seeds_make_weights_and_no_two_are_alike():
    first, again, other = (LRUBlock(UNITS, seed=seed) for seed in (1, 1, 2))
    for layer in (first, again, other):
        layer.build((None, None, FEATURES))
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert (first.encoder.kernel != other.encoder.kernel)[0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be .*units=0"),
        ({"state_size": -1}, "`state_size` must be .*state_size=-1"),
        ({"initialization": "best"}, "`initialization` must be one of .*'best'"),
        ({"norm_momentum": 1.0}, "`norm_momentum` must be .*norm_momentum=1.0"),
        ({"norm_momentum": "no"}, "`norm_momentum` must be .*norm_momentum='no'"),
        ({"pooling": "first"}, "`pooling` must be one of .*'first'"),
        ({"r_min": 2}, "`r_min` must be .*r_min=2"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LRUBlock(**{"units": UNITS, **arguments})


def test_bidirectional_around_it_is_refused_by_what_to_do():
    # Keras gives it back as a TypeError with this text.
    with pytest.raises((TypeError, ValueError), match="pass `bidirectional=True`"):
        keras.layers.Bidirectional(LRUBlock(UNITS))


def test_frozen_it_is_frozen_again_when_reloaded(tmp_path):
    layer = LRUBlock(UNITS)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    layer.trainable = False
    model.save(tmp_path / "model.keras")
    (again,) = keras.saving.load_model(tmp_path / "model.keras").layers
    assert not again.trainable_variables
    before = [numpy_of(w) for w in again.weights]
    again(inputs(), training=True)
    for weight, old in zip(again.weights, before, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), old)


def test_unknown_features_are_refused():
    with pytest.raises(ValueError, match="`inputs` must have shape"):
        LRUBlock(UNITS).build((None, None, None))
