"""Fine-tuning in low rank."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import layers
from keras_lru.compress import reduce_states
from keras_lru.models import SequenceClassifier

from ..cases import combinations

RANK, UNITS, STATES = 2, 5, 6

RECURRENCES = {
    "lru": lambda **options: layers.LRU(UNITS, STATES, seed=0, **options),
    "s5": lambda **options: layers.S5(UNITS, 2 * STATES, seed=0, **options),
}


def built(name):
    layer = RECURRENCES[name]()
    layer.build((None, None, 3))
    return layer


RECURRENCES_BUILT = {name: functools.partial(built, name) for name in RECURRENCES}


def inputs(features=3):
    return np.random.default_rng(0).normal(size=(8, 12, features)).astype("float32")


def numpy_of(x):
    return ops.convert_to_numpy(x)


def values(weights):
    return {w.path: numpy_of(w) for w in weights}


@pytest.fixture(params=RECURRENCES)
def layer(request):
    layer = RECURRENCES[request.param]()
    layer(inputs())
    return layer


def test_nothing_changes_before_training(layer):
    expected = numpy_of(layer(inputs()))
    assert not layer.lora_enabled
    before = layer.count_params()
    layer.enable_lora(RANK)
    assert layer.lora_enabled
    np.testing.assert_array_equal(numpy_of(layer(inputs())), expected)
    # Of B and C, of real and imaginary parts.
    added = RANK * (3 + 2 * STATES) + RANK * (STATES + 2 * UNITS)
    assert layer.count_params() == before + added


def test_only_few_weights_are_trained(layer):
    layer.enable_lora(RANK)
    trained = {w.name for w in layer.trainable_weights}
    assert {"lora_B_a", "lora_B_b", "lora_C_a", "lora_C_b", "D"} <= trained
    fixed = {"B_re", "B_im", "C_re", "C_im"}
    assert {w.name for w in layer.non_trainable_weights} == fixed


def test_products_are_added_to_b_and_c(layer):
    cell = layer.cell
    cell.enable_lora(RANK, lora_alpha=3.0)
    rng = np.random.default_rng(1)
    for name, shape in (("B", (3, STATES)), ("C", (STATES, UNITS))):
        a, b = (getattr(cell, f"lora_{name}_{x}") for x in "ab")
        b.assign(rng.normal(size=b.shape))
        product = numpy_of(a) @ numpy_of(b) * 1.5
        halves = product[:, : shape[1]], product[:, shape[1] :]
        for part, half, found in zip(
            ("re", "im"), halves, cell.pair(name), strict=True
        ):
            fixed = numpy_of(getattr(cell, f"{name}_{part}"))
            np.testing.assert_allclose(numpy_of(found), fixed + half, atol=1e-5)


MODELS = {
    "classifier": lambda: SequenceClassifier(
        3, depth=2, units=UNITS, state_size=STATES, dropout=0.1, seed=0
    ),
    "block": lambda: keras.Sequential(
        [layers.LRUBlock(UNITS, STATES, seed=0), keras.layers.Dense(3)]
    ),
    "both ways": lambda: keras.Sequential(
        [
            layers.ResidualBlock(
                RECURRENCES["s5"](return_sequences=True), bidirectional=True
            ),
            keras.layers.LSTM(3),
        ]
    ),
}


@pytest.mark.parametrize("name", combinations(MODELS, fast=[("classifier",)]))
def test_models_learn_and_are_saved_as_plain_ones(name, tmp_path):
    x = inputs(UNITS if name == "both ways" else 3)
    y = np.arange(8) % 3
    model = MODELS[name]()
    model(x)
    plain_weights = len(model.weights)
    adapted = model if name == "classifier" else model.layers[0]
    adapted.enable_lora(RANK)
    assert adapted.lora_enabled
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss)
    fixed, all_before = values(model.non_trainable_weights), values(model.weights)
    history = model.fit(x, y, epochs=15, verbose=0).history["loss"]
    assert history[-1] < history[0]
    after = values(model.weights)
    for path in fixed:
        # The moving statistics of a frozen normalization stay too.
        if "seed" not in path:
            np.testing.assert_array_equal(after[path], fixed[path], path)
    learned = [p for p in after if "lora" in p and p.endswith(("_b", "kernel_b"))]
    assert learned
    assert all(np.abs(after[p] - all_before[p]).max() > 0 for p in learned)

    expected = model.predict(x, verbose=0)
    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path, compile=False)
    assert len(loaded.weights) == plain_weights
    np.testing.assert_allclose(loaded.predict(x, verbose=0), expected, atol=1e-5)


def test_weights_read_later_are_all_there_is(layer, tmp_path):
    model = keras.Sequential([layer])
    model.build((None, None, 3))
    path = tmp_path / "some.weights.h5"
    model.save_weights(path)
    expected = numpy_of(model(inputs()))
    layer.enable_lora(RANK)
    layer.cell.lora_B_b.assign(np.ones(layer.cell.lora_B_b.shape))
    model.load_weights(path)
    np.testing.assert_allclose(numpy_of(model(inputs())), expected, atol=1e-6)


def test_what_cannot_be_is_refused(layer):
    with pytest.raises(ValueError, match=r"weights of .* do not exist yet"):
        RECURRENCES["lru"]().enable_lora(RANK)
    with pytest.raises(ValueError, match="`rank` must be a positive integer"):
        layer.enable_lora(0)
    layer.enable_lora(RANK)
    with pytest.raises(ValueError, match="`enable_lora` can be called once"):
        layer.enable_lora(RANK)
    with pytest.raises(ValueError, match=r"save it and load it.*low rank"):
        reduce_states(layer, state_size=2)
    bounded = RECURRENCES["lru"](output_constraint="max_norm")
    bounded(inputs())
    with pytest.raises(ValueError, match=r"`output_constraint` must be None.*MaxNorm"):
        bounded.enable_lora(RANK)
    with pytest.raises(ValueError, match=r"`lora_alpha` must be a number.*'a'"):
        RECURRENCES_BUILT["lru"]().enable_lora(RANK, lora_alpha="a")
    unfit = RECURRENCES_BUILT["lru"]()
    with pytest.raises(ValueError, match="foo"):
        unfit.enable_lora(RANK, a_initializer="foo")
    assert not unfit.lora_enabled
    assert len(unfit.trainable_weights) == len(unfit.weights)
    block = layers.LRUBlock(UNITS)
    with pytest.raises(ValueError, match=r"weights do not exist yet.*not built"):
        block.enable_lora(RANK)
