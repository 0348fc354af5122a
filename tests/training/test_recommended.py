"""The recommended way to train: one call, whichever the model."""

import keras
import numpy as np
import pytest

from keras_lru import (
    LanguageModel,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)
from keras_lru.training import AdamW, compile_recommended

SMALL = {"depth": 1, "units": 4, "state_size": 3}


def test_the_optimizer_is_the_recipe():
    model = SequenceClassifier(3, **SMALL)
    assert compile_recommended(model, 200, learning_rate=0.01) is model
    optimizer = model.optimizer
    assert isinstance(optimizer, AdamW)
    assert optimizer.recurrent_lr_factor == 0.5
    assert (optimizer.weight_decay, optimizer.global_clipnorm) == (0.05, 1.0)
    rates = [float(optimizer._learning_rate(step)) for step in (0, 20, 200)]
    np.testing.assert_allclose(rates, [1e-7, 0.01, 1e-7], rtol=1e-3)


@pytest.mark.parametrize(
    ("make", "inputs", "targets"),
    [
        (lambda: SequenceClassifier(3, **SMALL), (4, 5, 2), [0, 1, 2, 0]),
        (
            lambda: SequenceClassifier(3, activation="softmax", **SMALL),
            (4, 5, 2),
            [0, 1, 2, 0],
        ),
        (lambda: PairClassifier(2, **SMALL), (2, 4, 5, 2), [0, 1, 0, 1]),
        (lambda: SequenceRegressor(2, **SMALL), (4, 5, 2), np.ones((4, 5, 2))),
        (lambda: LanguageModel(7, **SMALL), (4, 5), np.ones((4, 5), "int32")),
    ],
    ids=["logits", "softmax", "pairs", "regressor", "tokens"],
)
def test_models_bring_their_loss(make, inputs, targets):
    model = make()
    x = np.random.default_rng(0).normal(size=inputs).astype("float32")
    if isinstance(model, LanguageModel):
        x = np.abs(x * 2).astype("int32")
    if isinstance(model, PairClassifier):
        x = list(x)
    compile_recommended(model, 10)
    targets = np.array(targets)
    loss = model.evaluate(x, targets, verbose=0, return_dict=True)["loss"]
    outputs = model.predict(x, verbose=0)
    if isinstance(model, SequenceRegressor):
        expected = np.mean((outputs - targets) ** 2)
    else:
        logits = not np.allclose(outputs.sum(-1), 1)
        expected = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)(
            targets, outputs
        )
    np.testing.assert_allclose(loss, float(expected), rtol=1e-4)


def test_what_is_given_counts():
    model = SequenceClassifier(3, **SMALL)
    compile_recommended(model, 10, "mse", metrics=["mae"], jit_compile=False)
    assert model.loss == "mse"
    assert model.jit_compile is False


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"total_steps": 0}, "`total_steps` must be .*total_steps=0"),
        ({"learning_rate": 0.0}, "`learning_rate` must be .*learning_rate=0.0"),
        ({"learning_rate": "auto"}, "`learning_rate` must be .*'auto'"),
        ({"optimizer": "adam"}, "`optimizer` is what is recommended.*'adam'"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    model = SequenceClassifier(3, **SMALL)
    with pytest.raises(ValueError, match=message):
        compile_recommended(model, **{"total_steps": 10, **arguments})


def test_a_small_rate_and_a_loss_of_one_s_own():
    model = SequenceClassifier(3, **SMALL)
    compile_recommended(
        model, 10, "sparse_categorical_crossentropy", learning_rate=1e-8
    )
    assert float(model.optimizer._learning_rate(1)) == pytest.approx(1e-8)
    # What the model measures is still measured.
    x, y = np.ones((2, 3, 1), "float32"), np.zeros(2)
    assert "accuracy" in model.evaluate(x, y, verbose=0, return_dict=True)


def test_what_is_no_model_is_refused():
    with pytest.raises(ValueError, match=r"`model` must be a keras.Model.*'model'"):
        compile_recommended("model", 10)


def test_a_model_of_another_house_needs_a_loss():
    model = keras.Sequential([keras.layers.Dense(1)], name="other")
    with pytest.raises(ValueError, match=r"`loss` is needed.*'other'"):
        compile_recommended(model, 10)
    compile_recommended(model, 10, "mse")
