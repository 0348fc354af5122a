"""Step sizes and restarts through what is built of the layers."""

import keras
import numpy as np
import pytest

from keras_lru import layers
from keras_lru.models import (
    LanguageModel,
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceForecaster,
    SequenceRegressor,
)

from ..cases import combinations

BATCH, TIME, FEATURES = 2, 6, 3
SIZES = np.float32([[1, 3, 1, 2, 1, 4], [2, 1, 1, 5, 1, 1]])
RESET = np.array([[0, 0, 1, 0, 1, 0], [1, 0, 0, 1, 0, 0]], bool)
# float32, through a few layers.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy_of(x):
    return keras.ops.convert_to_numpy(x)


def expanded(x, sizes, hold):
    """Of one row, steps of size 1; the first and the last that each step became."""
    steps, first, last = [], [], []
    for u, size in zip(x, sizes.astype(int), strict=True):
        first.append(len(steps))
        held = hold == "zero_order"
        steps += [u] * size if held else [0 * u] * (size - 1) + [u]
        last.append(len(steps) - 1)
    return np.array(steps)[None], first if hold == "zero_order" else last, last


def pieces(reset):
    begins = sorted({0, *np.flatnonzero(reset)})
    return list(zip(begins, [*begins[1:], len(reset)], strict=True))


@pytest.mark.parametrize("hold", ["zero_order", "impulse"])
@pytest.mark.parametrize("cls", [layers.LRU, layers.S4D])
def test_both_directions(cls, hold):
    lru = cls(FEATURES, state_size=4, hold=hold, return_sequences=True)
    layer = layers.Bidirectional(lru, merge_mode=None)
    x = normal(BATCH, TIME, FEATURES)
    begun = list(normal(4, 1, lru.cell.state_size[0], seed=1))
    given = {"initial_state": begun, "reset_to": begun, "reset": RESET}
    y, z = map(numpy_of, layer(x, step_sizes=SIZES, **given))
    for row in range(BATCH):
        for begin, end in pieces(RESET[row]):
            steps, first, last = expanded(
                x[row, begin:end], SIZES[row, begin:end], hold
            )
            alone = layer(steps, initial_state=begun)
            forwards, backwards = map(numpy_of, alone)
            np.testing.assert_allclose(y[row, begin:end], forwards[0, last], **CLOSE)
            np.testing.assert_allclose(z[row, begin:end], backwards[0, first], **CLOSE)


@pytest.mark.parametrize("hold", ["zero_order", "impulse"])
def test_both_directions_of_each_sequence_begin_with_the_same(hold):
    layer = layers.Bidirectional(layers.LRU(FEATURES, hold=hold, return_sequences=True))
    x = np.tile(normal(BATCH, TIME, FEATURES), (1, 2, 1))
    reset = np.zeros((BATCH, 2 * TIME), bool)
    reset[:, [0, TIME]] = True
    begun = list(normal(4, 1, FEATURES, seed=1))
    y = numpy_of(layer(x, reset=reset, reset_to=begun))
    np.testing.assert_allclose(y[:, :TIME], y[:, TIME:], **CLOSE)
    with pytest.raises(ValueError, match="`reset_to` must be a list of the states of"):
        layer(x, reset=reset, reset_to=begun[:3])


@pytest.mark.parametrize("merge_mode", ["concat", "sum", "ave", "mul", None])
@pytest.mark.parametrize("sequences", [True, False])
def test_directions_are_merged_as_keras_does(merge_mode, sequences):
    """Sizes of one go the way of this class, without them it is Keras's."""
    x, ones = normal(BATCH, TIME, FEATURES), np.ones((BATCH, TIME), "float32")
    states = [normal(BATCH, 4, seed=i) for i in range(4)]
    for options in (
        {"return_sequences": sequences, "return_state": True},
        {"return_sequences": sequences},
    ):
        layer = layers.Bidirectional(layers.LRU(4, **options), merge_mode=merge_mode)
        found = layer(x, initial_state=states, step_sizes=ones)
        expected = layer(x, initial_state=states)
        assert isinstance(found, tuple) == isinstance(expected, tuple)
        for a, b in zip(*map(keras.tree.flatten, (found, expected)), strict=True):
            np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


MODELS = {
    "block": lambda **options: layers.ResidualBlock(
        layers.LRU(FEATURES, return_sequences=True), normalization="layer", **options
    ),
    "gated": lambda **options: layers.ResidualBlock(
        layers.RGLRU(FEATURES, return_sequences=True), normalization="rms", **options
    ),
    "lru_block": lambda **options: layers.LRUBlock(
        5, normalization="layer", return_sequences=True, **options
    ),
    "backbone": lambda **options: LRUBackbone(
        depth=2, units=5, state_size=4, normalization="layer", **options
    ),
    "regressor": lambda **options: SequenceRegressor(
        2, depth=2, units=5, state_size=4, normalization="layer", **options
    ),
}


@pytest.mark.parametrize(
    ("name", "bidirectional"),
    combinations(
        MODELS,
        [False, True],
        fast=[("block", True), ("gated", False), ("regressor", False)],
    ),
)
def test_sequences_in_a_row_are_alone(name, bidirectional):
    model = MODELS[name](bidirectional=bidirectional)
    x = normal(BATCH, TIME, FEATURES)
    found = numpy_of(model(x, reset=RESET))
    for row in range(BATCH):
        for begin, end in pieces(RESET[row]):
            alone = numpy_of(model(x[row : row + 1, begin:end]))
            np.testing.assert_allclose(found[row, begin:end], alone[0], **CLOSE)


OF_A_ROW = {
    "classifier": lambda: SequenceClassifier(
        2, depth=1, units=5, state_size=4, normalization="layer"
    ),
    "forecaster": lambda: SequenceForecaster(
        2, depth=1, units=5, state_size=4, normalization="layer"
    ),
}


@pytest.mark.parametrize(
    "name", [name for name in (*MODELS, *OF_A_ROW) if name != "gated"]
)
def test_sizes_reach_the_recurrences(name):
    model = {**MODELS, **OF_A_ROW}[name]()
    x = normal(BATCH, TIME, FEATURES)
    ones = np.ones((BATCH, TIME, 1), "float32")
    plain = numpy_of(model(x))
    np.testing.assert_allclose(numpy_of(model(x, step_sizes=ones)), plain, **CLOSE)
    found = numpy_of(model(x, step_sizes=2 * ones))
    np.testing.assert_allclose(found, numpy_of(model(x, rate=2.0)), **CLOSE)
    assert np.abs(found - plain).max() > 1e-2


def test_each_sequence_of_a_pair_has_its_sizes():
    model = PairClassifier(
        2, pooling="last", depth=1, units=5, state_size=4, normalization="layer"
    )
    pair = {"a": normal(BATCH, TIME, FEATURES), "b": normal(BATCH, TIME, FEATURES)}
    sizes = {"a": SIZES, "b": np.ones_like(SIZES)}
    found = numpy_of(model(pair, step_sizes=sizes))
    a = model.backbone(pair["a"], step_sizes=SIZES)[:, -1]
    b = model.backbone(pair["b"])[:, -1]
    features = keras.ops.concatenate([a, b, a * b, a - b], axis=-1)
    alone = model.head(model.hidden(features))
    np.testing.assert_allclose(found, numpy_of(alone), **CLOSE)
    found = numpy_of(model(list(pair.values()), rate=2.0))
    twice = [2 * np.ones_like(SIZES)] * 2
    twice = numpy_of(model(list(pair.values()), step_sizes=twice))
    np.testing.assert_allclose(found, twice, **CLOSE)
    with pytest.raises(ValueError, match="`step_sizes` must be two tensors"):
        model(pair, step_sizes=SIZES)
    with pytest.raises(ValueError, match=r"Each of `step_sizes` must be .*None"):
        model(list(pair.values()), step_sizes=[SIZES, None])


def test_a_masked_window_is_forecast_as_without_its_padding():
    model = SequenceForecaster(2, depth=1, units=5, state_size=4)
    x, sizes = normal(BATCH, TIME, FEATURES), SIZES.copy()
    mask = np.arange(TIME) < [[4], [6]]
    sizes[0, 4:] = -1
    found = numpy_of(model(x, mask=mask, step_sizes=sizes))
    alone = numpy_of(model(x[:1, :4], step_sizes=SIZES[:1, :4]))
    np.testing.assert_allclose(found[:1], alone, **CLOSE)


def test_a_block_holds_its_input():
    """Without a normalization over features, a step of size n is n steps of it."""
    block = layers.ResidualBlock(
        layers.LRU(FEATURES, return_sequences=True), normalization=None
    )
    x = normal(1, TIME, FEATURES)
    found = numpy_of(block(x, step_sizes=SIZES[:1]))
    steps, _, last = expanded(x[0], SIZES[0], "zero_order")
    np.testing.assert_allclose(found[0], numpy_of(block(steps))[0, last], **CLOSE)


def test_automatic_masks_count_beside_them():
    model = LanguageModel(
        9, depth=1, units=4, state_size=3, mask_zero=True, normalization="layer"
    )
    tokens = np.array([[3, 0, 4, 5, 0, 1], [1, 2, 3, 4, 5, 6]])
    found = numpy_of(model(tokens, reset=RESET))
    alone = numpy_of(model(np.array([[4, 5]])))
    # In the first row, the tokens 4 and 5 with padding around them.
    piece = numpy_of(model(tokens, reset=np.eye(2, 6, 2, dtype=bool)))[0, 2:4]
    np.testing.assert_allclose(piece, alone[0], **CLOSE)
    np.testing.assert_allclose(found[0, 2:4], alone[0], **CLOSE)
    backbone = model.backbone
    embedded = keras.layers.Masking()(normal(BATCH, TIME, 4) * (tokens > 0)[..., None])
    block = backbone.blocks[0]
    given = numpy_of(block(embedded, reset=RESET))
    same = numpy_of(block(numpy_of(embedded), mask=tokens > 0, reset=RESET))
    np.testing.assert_allclose(given[tokens > 0], same[tokens > 0], **CLOSE)


def test_sizes_keep_their_digits_in_half_precision():
    sizes = np.full((1, 600), 1 + 2**-9, "float32")
    x = normal(1, 600, FEATURES)
    keras.config.set_dtype_policy("mixed_bfloat16")
    model = LRUBackbone(
        depth=1, units=8, state_size=8, r_min=0.999, r_max=0.9999, seed=0
    )
    assert keras.backend.standardize_dtype(model(x).dtype) == "bfloat16"
    difference = model(x, step_sizes=sizes) - model(x)
    # 1 + 2**-9 is 1 in bfloat16; 600 of them are a step more than 600 of 1.
    assert np.abs(numpy_of(difference[:, -50:]).astype("float32")).max() > 0.05


def test_a_classifier_is_fitted_on_series_of_any_times():
    rng = np.random.default_rng(0)
    sizes = rng.exponential(size=(64, 30)).astype("float32") + 0.1
    fast = rng.integers(0, 2, 64)
    time = np.cumsum(sizes, axis=1)
    x = np.sin(time * np.where(fast, 0.9, 0.5)[:, None])[..., None]
    inputs, given = keras.Input((None, 1)), keras.Input((None,))
    head = SequenceClassifier(2, depth=1, units=16, state_size=16, seed=0)
    model = keras.Model([inputs, given], head(inputs, step_sizes=given))
    model.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    history = model.fit([x, sizes], fast, epochs=15, batch_size=16, verbose=0).history
    assert history["accuracy"][-1] > 0.9


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="SavedModels are TensorFlow's and JAX's"
)
def test_it_is_served_at_any_length(tmp_path):
    import tensorflow as tf

    x, sizes = keras.Input((None, FEATURES)), keras.Input((None,))
    reset = keras.Input((None,), dtype="bool")
    outputs = MODELS["regressor"]()(x, step_sizes=sizes, reset=reset)
    model = keras.Model([x, sizes, reset], outputs)
    options = {}
    if keras.backend.backend() == "jax":
        shapes = [[f"(batch, time, {FEATURES})", "(batch, time)", "(batch, time)"]]
        options["jax2tf_kwargs"] = {"polymorphic_shapes": shapes}
    model.export(tmp_path / "model", verbose=False, **options)
    served = tf.saved_model.load(tmp_path / "model")
    rng = np.random.default_rng(0)
    for batch, time in ((2, 5), (1, 40)):
        values = [
            normal(batch, time, FEATURES),
            rng.uniform(0.3, 3.0, (batch, time)).astype("float32"),
            rng.random((batch, time)) < 0.2,
        ]
        found = served.serve([tf.constant(value) for value in values])
        np.testing.assert_allclose(found.numpy(), numpy_of(model(values)), **CLOSE)


# What is refused


def test_what_pools_refuses_several_sequences_in_a_row():
    x = normal(BATCH, TIME, FEATURES)
    classifier = SequenceClassifier(2, depth=1, units=4, state_size=3)
    with pytest.raises(ValueError, match=r"`reset` must be left out: a classifier"):
        classifier(x, reset=RESET)
    forecaster = SequenceForecaster(2, depth=1, units=4, state_size=3)
    with pytest.raises(ValueError, match=r"`reset` must be left out: a window"):
        forecaster(x, reset=RESET)
    pair = PairClassifier(2, depth=1, units=4, state_size=3)
    with pytest.raises(ValueError, match=r"`reset` must be left out: a row is one"):
        pair([x, x], reset=RESET)
    with pytest.raises(ValueError, match=r"`reset` must be left out without `return_s"):
        layers.LRUBlock(4)(x, reset=RESET)


def test_blocks_of_other_recurrences_say_so():
    x = normal(BATCH, TIME, FEATURES)
    lstm = keras.layers.LSTM(FEATURES, return_sequences=True, name="memory")
    block = layers.ResidualBlock(lstm)
    with pytest.raises(ValueError, match=r"`reset` must be left out: .*'memory'"):
        block(x, reset=RESET)
    dense = layers.ResidualBlock(layers.DenseRNN(FEATURES, return_sequences=True))
    with pytest.raises(ValueError, match="`step_sizes` must be left out: DenseRNN"):
        dense(x, step_sizes=SIZES)
