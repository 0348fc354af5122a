"""What the three models with a head have in common, and what each does itself."""

import json

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.models import (
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)

from ..cases import combinations

SMALL = {"depth": 1, "units": 4, "state_size": 3}
BATCH, TIME = 4, 6
MASK = np.arange(TIME) < np.array([[6], [4], [1], [3]])
POOLINGS = ["mean", "last", "max"]
KINDS = [SequenceClassifier, PairClassifier, SequenceRegressor]


def features(seed=0):
    shape = (BATCH, TIME, 2)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def tokens(seed=0):
    x = np.random.default_rng(seed).integers(1, 9, (BATCH, TIME), dtype="int32")
    return x * MASK


def pair(make=features):
    """Two inputs that are, one below the other, of the shape of the others."""
    return [make(0)[: BATCH // 2], make(1)[: BATCH // 2]]


def example(kind, make=features):
    return pair(make) if kind is PairClassifier else make(0)


def built(model, x):
    """The model with its weights. That costs less than a call."""
    model.build(keras.tree.map_structure(np.shape, x))
    return model


def targets(kind):
    if kind is SequenceRegressor:
        return np.ones((BATCH, TIME, 3), "float32")
    return np.arange(BATCH // 2 if kind is PairClassifier else BATCH) % 3


def compiled(model, **kwargs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    if isinstance(model, SequenceRegressor):
        loss = "mean_squared_error"
    model.compile(keras.optimizers.SGD(1.0), loss=loss, **kwargs)
    return model


def numpy_of(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def randomize(model):
    rng = np.random.default_rng(0)
    for weight in model.weights:
        if keras.backend.is_float_dtype(weight.dtype):
            weight.assign(rng.uniform(0.2, 0.9, weight.shape))


# All three


@pytest.mark.parametrize("kind", KINDS)
def test_output_shapes(kind):
    x = example(kind)
    expected = (*np.shape(targets(kind))[:2], 3)
    model = kind(3, **SMALL)
    assert model(x).shape == expected
    unknown = [*(None for _ in expected[:-1]), 3]
    symbolic = keras.tree.map_structure(lambda _: keras.Input((None, 2)), x)
    assert kind(3, **SMALL)(symbolic).shape == tuple(unknown)


@pytest.mark.parametrize(
    ("kind", "jit_compile"),
    [
        *[(kind, "auto") for kind in KINDS],
        pytest.param(SequenceClassifier, True, marks=pytest.mark.slow),
    ],
)
def test_a_fit_step_changes_every_trainable_weight(kind, jit_compile):
    model = kind(3, **SMALL, dropout=0.1, vocabulary_size=9, mask_zero=True)
    x = example(kind, tokens)
    model.build(keras.tree.map_structure(lambda _: (None, None), x))
    randomize(model)
    before = [numpy_of(w) for w in model.trainable_variables]
    compiled(model, jit_compile=jit_compile).fit(x, targets(kind), verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert not np.allclose(numpy_of(variable), old, rtol=0, atol=1e-9), (
            variable.path
        )


@pytest.mark.parametrize("kind", combinations(KINDS, fast=[(PairClassifier,)]))
def test_fit_evaluate_predict_on_a_last_smaller_batch(kind):
    model = compiled(kind(3, **SMALL))
    x, y = example(kind), targets(kind)
    sizes = {"batch_size": len(y) - 1, "verbose": 0}
    model.fit(x, y, **sizes)
    assert np.isfinite(model.evaluate(x, y, **sizes))
    np.testing.assert_allclose(
        model.predict(x, **sizes),
        numpy_of(model(x)),
        rtol=1e-4,
        atol=1e-5,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_saved_model_reloads(tmp_path, kind):
    model = kind(3, **SMALL)
    x = example(kind)
    expected = numpy_of(model(x))
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    np.testing.assert_allclose(numpy_of(loaded(x)), expected, rtol=1e-6, atol=1e-6)
    assert [w.path for w in loaded.weights] == [w.path for w in model.weights]


def test_training_goes_on_after_a_reload(tmp_path):
    model = compiled(SequenceClassifier(3, **SMALL))
    x, y = features(), targets(SequenceClassifier)
    model.fit(x, y, verbose=0)
    model.save(tmp_path / "m.keras")
    loaded = keras.saving.load_model(tmp_path / "m.keras")
    first, second = (m.fit(x, y, verbose=0) for m in (model, loaded))
    np.testing.assert_allclose(first.history["loss"], second.history["loss"], rtol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_weights_file_and_clone(tmp_path, kind):
    x = example(kind)
    inputs = keras.tree.map_structure(lambda _: keras.Input((None, 2)), x)
    model = keras.Model(inputs, kind(3, **SMALL)(inputs))
    clone = keras.models.clone_model(model)
    assert not np.allclose(numpy_of(clone(x)), numpy_of(model(x)))
    model.save_weights(tmp_path / "m.weights.h5")
    clone.load_weights(tmp_path / "m.weights.h5")
    np.testing.assert_allclose(
        numpy_of(clone(x)), numpy_of(model(x)), rtol=1e-6, atol=1e-6
    )


def test_building_from_a_config_builds_the_optimizer_too():
    # KerasTuner then loads weights, and the optimizer's state with them.
    model = compiled(SequenceRegressor(3, **SMALL))
    model.build_from_config({"input_shape": [None, None, 2]})
    assert model.optimizer.built
    SequenceRegressor(3, **SMALL).build_from_config({"input_shape": [None, None, 2]})


@pytest.mark.parametrize("kind", KINDS)
def test_config_round_trip(kind):
    model = kind(
        3, activation="sigmoid", **SMALL, seed=1, dtype="mixed_bfloat16", name="m"
    )
    config = model.get_config()
    copy = kind.from_config(config)
    assert copy.get_config() == config
    assert copy.backbone.compute_dtype == "bfloat16"
    x = example(kind)
    for a, b in zip(built(copy, x).weights, built(model, x).weights, strict=True):
        np.testing.assert_array_equal(numpy_of(a), numpy_of(b), err_msg=a.path)


@pytest.mark.parametrize("kind", KINDS)
def test_a_given_backbone_keeps_its_weights(kind):
    backbone = LRUBackbone(**SMALL)
    built(backbone, features())
    before = [numpy_of(w) for w in backbone.weights]
    model = built(kind(3, backbone=backbone), example(kind))
    assert model.backbone is backbone
    for weight, old in zip(backbone.weights, before, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), old)


@pytest.mark.parametrize("kind", KINDS)
def test_summary_shows_the_parts_and_their_sizes(kind):
    model = built(kind(3, **SMALL), example(kind))
    lines = []
    model.summary(print_fn=lambda line, **_: lines.append(line), expand_nested=True)
    text = "\n".join(lines)
    for part in ("backbone", "block_0", "head", f"{model.count_params():,}"):
        assert part in text
    assert "?" not in text


@pytest.mark.parametrize("kind", KINDS)
def test_bad_arguments(kind):
    with pytest.raises(ValueError, match=r"must be a positive integer.*=0"):
        kind(0)
    with pytest.raises(ValueError, match=r"`backbone` must be an LRUBackbone.*'lstm'"):
        kind(3, backbone="lstm")
    with pytest.raises(ValueError, match=r"`backbone` must be an LRUBackbone.*=5"):
        kind(3, backbone=5, depth=1)
    with pytest.raises(ValueError, match=r"`activation` must be .*activation='foo'"):
        kind(3, activation="foo", **SMALL)
    with pytest.raises(ValueError, match=r"either `backbone` or .*\['depth'\]"):
        kind(3, backbone=LRUBackbone(**SMALL), depth=1)
    with pytest.raises(ValueError, match="unknown_argument"):
        kind(3, unknown_argument=1)


def test_sizes_may_be_integers_of_numpy():
    four = np.int64(4)
    sizes = {"depth": four, "units": four, "state_size": four, "seed": four}
    pair = PairClassifier(four, hidden_units=four, vocabulary_size=four, **sizes)
    pair.build([(None, None), (None, None)])
    assert pair.head.kernel.shape == (4, 4)
    for kind in (SequenceClassifier, SequenceRegressor):
        model = kind(four, **sizes)
        model.build((None, None, 2))
        assert model.head.kernel.shape == (4, 4)
        json.dumps(model.get_config())


# SequenceClassifier


@pytest.mark.parametrize("pooling", combinations(POOLINGS, fast=[("mean",)]))
def test_classifier_padded_equals_unpadded(pooling):
    model = SequenceClassifier(
        3, pooling, **SMALL, vocabulary_size=9, mask_zero=True, bidirectional=True
    )
    x = tokens()
    padded, alone = numpy_of(model(x)), numpy_of(model(x[:, :4]))
    np.testing.assert_allclose(padded[1], alone[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", combinations(POOLINGS, fast=[("last",)]))
def test_classifier_takes_a_mask_from_a_layer_before_it(pooling):
    x = np.where(MASK[..., None], features(), 0).astype("float32")
    classifier = SequenceClassifier(3, pooling, **SMALL)
    model = keras.Sequential(
        [keras.Input((None, 2)), keras.layers.Masking(), classifier]
    )
    padded = model.predict(x, verbose=0)
    alone = numpy_of(classifier(x[:, :4]))
    np.testing.assert_allclose(padded[1], alone[1], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pooling", combinations(POOLINGS, fast=[("max",)]))
def test_a_wholly_masked_sequence_does_no_harm(pooling):
    model = SequenceClassifier(3, pooling, **SMALL, vocabulary_size=9, mask_zero=True)
    x = tokens()
    x[1] = 0
    assert np.isfinite(numpy_of(model(x))).all()
    compiled(model).fit(x, targets(SequenceClassifier), verbose=0)
    assert all(np.isfinite(numpy_of(w)).all() for w in model.trainable_variables)


def test_logits_are_the_default_and_probabilities_an_option():
    logits, probabilities = (
        SequenceClassifier(3, activation=a, **SMALL, seed=0)(features())
        for a in (None, "softmax")
    )
    np.testing.assert_allclose(
        numpy_of(probabilities), numpy_of(ops.softmax(logits)), rtol=1e-5
    )


def test_unknown_pooling():
    for kind in (SequenceClassifier, PairClassifier):
        with pytest.raises(ValueError, match=r"`pooling` must be one of .*'first'"):
            # Before the backbone is made, which would refuse its own.
            kind(3, pooling="first", depth=0)


# PairClassifier


@pytest.mark.parametrize("pooling", POOLINGS)
def test_pair_features_by_hand(pooling):
    model = PairClassifier(3, pooling, **SMALL, hidden_activation="relu")
    inputs = pair()
    randomize(built(model, inputs))
    x, y = (numpy_of(model.pooling(model.backbone(z))) for z in inputs)
    both = np.concatenate([x, y, x * y, x - y], axis=-1)
    hidden_kernel, hidden_bias, head_kernel, head_bias = map(
        numpy_of, model.hidden.weights + model.head.weights
    )
    hidden = np.maximum(both @ hidden_kernel + hidden_bias, 0)
    np.testing.assert_allclose(
        numpy_of(model(inputs)),
        hidden @ head_kernel + head_bias,
        rtol=1e-4,
        atol=1e-5,
    )


def test_pair_comes_as_list_tuple_or_dictionary():
    model = PairClassifier(3, **SMALL)
    x, y = pair()
    expected = numpy_of(model([x, y]))
    np.testing.assert_array_equal(numpy_of(model((x, y))), expected)
    np.testing.assert_array_equal(numpy_of(model({"b": y, "a": x})), expected)


@pytest.mark.parametrize("pooling", combinations(POOLINGS, fast=[("max",)]))
def test_pair_padded_equals_unpadded(pooling):
    model = PairClassifier(3, pooling, **SMALL, vocabulary_size=9, mask_zero=True)
    x, y = pair(tokens)
    padded, alone = numpy_of(model([x, y])), numpy_of(model([x[:, :4], y[:, :4]]))
    np.testing.assert_allclose(padded[1], alone[1], rtol=1e-4, atol=1e-5)


def test_only_one_of_a_pair_may_be_masked():
    x, y = pair()
    mask = MASK[: BATCH // 2]
    model = PairClassifier(3, **SMALL)
    one_masked = numpy_of(model([x, y], mask=[mask, None]))
    both = numpy_of(model([x, y], mask=[mask, np.ones_like(mask)]))
    np.testing.assert_array_equal(one_masked, both)
    assert not np.allclose(one_masked, numpy_of(model([x, y])))


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ([(None, 4, 2)], "must be two tensors"),
        ((None, 4, 2), "must be two tensors"),
        ([(None, 4, 2), (None, 4)], "must be two tensors of one rank"),
        ([(None, 4, 2), (None, 5, 2)], "must have the same length"),
    ],
)
def test_bad_pair(shape, message):
    with pytest.raises(ValueError, match=message):
        PairClassifier(3, **SMALL).build(shape)


def test_bad_hidden_units():
    with pytest.raises(ValueError, match="`hidden_units` must be a positive integer"):
        PairClassifier(3, hidden_units=0)


def test_bad_hidden_activation():
    with pytest.raises(ValueError, match=r"`hidden_activation` must be .*='foo'"):
        PairClassifier(3, hidden_activation="foo", **SMALL)


# SequenceRegressor


def test_regressor_loss_leaves_padding_out():
    model = compiled(SequenceRegressor(3, **SMALL, vocabulary_size=9, mask_zero=True))
    y = targets(SequenceRegressor)
    wrong = np.where(MASK[..., None], y, 1e6)
    x = tokens()
    loss, same = (model.evaluate(x, t, verbose=0) for t in (y, wrong))
    np.testing.assert_allclose(loss, same, rtol=1e-6)


def test_regressor_padded_equals_unpadded():
    model = SequenceRegressor(3, **SMALL, vocabulary_size=9, mask_zero=True)
    x = tokens()
    padded, alone = numpy_of(model(x)), numpy_of(model(x[:, :4]))
    np.testing.assert_allclose(padded[1, :4], alone[1], rtol=1e-4, atol=1e-5)
