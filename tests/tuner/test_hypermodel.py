import json
import math

import keras
import keras_tuner
import numpy as np
import pytest
from keras_tuner.errors import FailedTrialError, FatalValueError

from keras_lru import (
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)
from keras_lru.experiments import get_preset
from keras_lru.training import AdamW, warmup_cosine
from keras_lru.tuner import LRUHyperModel

from .searches import X, Y, dense, hypermodel, searched

MODELS = {
    SequenceClassifier: {"num_classes": 3},
    PairClassifier: {"num_classes": 3},
    SequenceRegressor: {"output_dim": 2},
    LRUBackbone: {},
}
SMALL = {"depth": 1, "units": 4, "state_size": 3}


class Rates(keras.callbacks.Callback):
    """Keeps the rate and the number of each batch."""

    def __init__(self):
        super().__init__()
        self.rates, self.steps = [], []

    def on_train_batch_begin(self, batch, logs=None):
        optimizer = self.model.optimizer
        self.rates.append(float(optimizer.learning_rate))
        self.steps.append(int(optimizer.iterations))


def hyperparameters(**values):
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return hp


def fit(hyper, hp=None, **kwargs):
    """Builds and trains; returns the model, the history and the rates."""
    hp = hyperparameters(learning_rate=0.01) if hp is None else hp
    rates = Rates()
    model = hyper.build(hp)
    arguments = {"x": X, "y": Y, "callbacks": [rates], "verbose": 0, **kwargs}
    # The rate of the next batch, not of the one being computed.
    return model, hyper.fit(hp, model, **arguments), rates


def test_searches_the_ring_and_the_rate_by_default():
    hp = hyperparameters()
    LRUHyperModel(get_preset("smnist", "tiny")).build(hp)
    ranges = {entry.name: (entry.min_value, entry.max_value) for entry in searched(hp)}
    assert ranges == {
        "one_minus_r_max": (pytest.approx(1e-4), pytest.approx(0.1)),
        "r_min_fraction": (0, 1),
        "max_phase": (math.pi / 100, 2 * math.pi),
        "learning_rate": (1e-4, 1e-2),
    }


def test_searches_what_it_is_told_to():
    hyper = LRUHyperModel(
        get_preset("smnist", "tiny"),
        ring=False,
        learning_rate=0.01,
        recurrent_lr_factor=(0.1, 1.0),
        weight_decay=[0.0, 0.1],
        depth=(1, 3),
        units=(4, 33),
        state_size=[3, 5],
        dropout=(0.0, 0.3),
        batch_size=(16, 64),
    )
    hp = hyperparameters()
    settings = hyper.resolve(hp)
    values = {entry.name: list(entry.values) for entry in searched(hp)}
    assert values.pop("recurrent_lr_factor")[0] == pytest.approx(0.1 * 10**0.05)
    assert sorted(values.pop("dropout"))[0] == pytest.approx(0.05 * 0.3)
    assert values == {
        "weight_decay": [0.0, 0.1],
        "depth": [1, 2, 3],
        "units": [4, 8, 16, 32],
        "state_size": [3, 5],
        "batch_size": [16, 32, 64],
    }
    assert settings["learning_rate"] == 0.01


@pytest.mark.parametrize("kind", MODELS, ids=lambda kind: kind.__name__)
def test_builds_every_model_as_resolved(kind):
    hyper = LRUHyperModel(
        model=kind,
        arguments={**MODELS[kind], "depth": 1, "glu": "half"},
        units=[4, 8],
        state_size=[2, 3],
        dropout=(0.0, 0.5),
        weight_decay=0.2,
        recurrent_lr_factor=(0.1, 1.0),
        compile_options={"jit_compile": False},
    )
    hp = hyperparameters(
        one_minus_r_max=0.01, r_min_fraction=0.5, units=8, state_size=3, dropout=0.25
    )
    model, settings = hyper.build(hp), hyper.resolve(hp)
    assert type(model) is kind
    assert settings["r_min"] == pytest.approx(0.495)
    backbone = getattr(model, "backbone", model)
    assert backbone.glu == "half"
    assert (settings["units"], settings["dropout"]) == (8, 0.25)
    for name in ("r_min", "r_max", "max_phase", "units", "state_size", "dropout"):
        assert getattr(backbone, name) == settings[name]
    assert type(model.optimizer) is AdamW
    assert model.optimizer.weight_decay == 0.2
    assert model.optimizer.recurrent_lr_factor == settings["recurrent_lr_factor"]
    rate = float(model.optimizer.learning_rate)
    assert rate == pytest.approx(settings["learning_rate"])
    assert model.jit_compile is False


@pytest.mark.parametrize("task", ["smnist", "retrieval"])
def test_presets_give_what_is_not_searched(task):
    preset = get_preset(task, "tiny")
    hyper = LRUHyperModel(preset, depth=(1, 2), arguments={"units": 4, "glu": "half"})
    hp = hyperparameters(max_phase=1.0)
    model, settings = hyper.build(hp), hyper.resolve(hp)
    assert type(model) is (
        PairClassifier if task == "retrieval" else SequenceClassifier
    )
    assert (model.backbone.units, model.backbone.glu) == (4, "half")
    assert len(model.backbone.blocks) == 1
    assert model.backbone.max_phase == 1.0
    kept = ("state_size", "dropout", "weight_decay", "recurrent_lr_factor")
    for name in (*kept, "batch_size"):
        assert settings[name] == getattr(preset, name)
    assert json.loads(json.dumps(settings)) == settings


def test_a_ring_that_is_not_searched_is_the_preset_s():
    preset = get_preset("pathx", "tiny")
    settings = LRUHyperModel(preset, ring=False).resolve(hyperparameters())
    for name in ("r_min", "r_max", "max_phase"):
        assert settings[name] == getattr(preset, name)


def test_a_rate_that_is_not_searched_is_the_preset_s():
    preset, hp = get_preset("pathx", "tiny"), hyperparameters()
    settings = LRUHyperModel(preset, learning_rate=None).resolve(hp)
    assert settings["learning_rate"] == preset.learning_rate
    assert "learning_rate" not in hp.values


def test_ring_takes_arguments():
    hyper = hypermodel(ring={"prefix": "x_", "fixed": {"max_phase": 6.283}})
    hp = hyperparameters()
    assert hyper.resolve(hp)["max_phase"] == 6.283
    names = {entry.name for entry in searched(hp)}
    assert names == {"x_one_minus_r_max", "x_r_min_fraction", "learning_rate"}


@pytest.mark.parametrize("activation", [None, "softmax"])
def test_classifiers_get_cross_entropy_and_accuracy(activation):
    arguments = {"num_classes": 3, "activation": activation, **SMALL}
    hyper = LRUHyperModel(model=SequenceClassifier, arguments=arguments)
    model = hyper.build(hyperparameters())
    probabilities = np.array([[0.2, 0.3, 0.5], [0.1, 0.1, 0.8]])
    outputs = np.log(probabilities) if activation is None else probabilities
    loss = float(model.loss(np.array([1, 2]), outputs))
    assert loss == pytest.approx(-np.log([0.3, 0.8]).mean(), rel=1e-5)
    assert model.get_compile_config()["metrics"] == ["accuracy"]


def test_other_models_get_squared_errors():
    logs = (
        hypermodel()
        .build(hyperparameters())
        .evaluate(X, Y, return_dict=True, verbose=0)
    )
    assert sorted(logs) == ["loss", "mae"]


def test_takes_loss_and_metrics_which_no_two_models_share():
    metric = keras.metrics.MeanSquaredError(name="squares")
    hyper = hypermodel(loss="mae", metrics=[metric])
    models = [hyper.build(hyperparameters()) for _ in range(2)]
    logs = [model.evaluate(X, Y, return_dict=True, verbose=0) for model in models]
    assert sorted(logs[0]) == ["loss", "squares"]
    error = keras.ops.convert_to_numpy(models[0](X)) - Y
    assert logs[0]["loss"] == pytest.approx(np.abs(error).mean(), rel=1e-5)
    assert logs[0]["squares"] == pytest.approx((error**2).mean(), rel=1e-5)
    # The given one was not used.
    assert float(metric.result()) == 0


def test_saved_hyperparameters_rebuild_the_model():
    def build(hp):
        hyper = LRUHyperModel(
            model=SequenceRegressor,
            arguments={"output_dim": 1, "depth": 1, "units": 4, "name": "model"},
            state_size=[2, 3],
            seed=3,
        )
        # With its seeds.
        return hyper.build(hp).get_config()

    hp = hyperparameters(state_size=3, one_minus_r_max=0.02, r_min_fraction=0.7)
    config = build(hp)
    backbone = config["backbone"]["config"]
    assert (backbone["state_size"], backbone["r_max"]) == (3, 0.98)
    assert isinstance(backbone["seed"], int)
    saved = json.loads(json.dumps(hp.get_config()))
    assert build(keras_tuner.HyperParameters.from_config(saved)) == config
    values = json.loads(json.dumps(hp.values))
    assert build(hyperparameters(**values)) == config


def test_the_schedule_spans_all_batches_of_the_trial():
    # Six epochs of two batches; one of them is spent on the warmup.
    model, _, rates = fit(hypermodel(), epochs=6)
    schedule = warmup_cosine(0.01, 12)
    assert rates.steps[-1] < int(model.optimizer.iterations) == 12
    expected = [float(schedule(step)) for step in rates.steps]
    np.testing.assert_allclose(rates.rates, expected, rtol=1e-5)
    assert len(set(rates.rates)) > 3
    assert float(model.optimizer.learning_rate) == pytest.approx(1e-7, rel=1e-3)


def test_a_trial_that_goes_on_starts_in_the_middle_of_its_schedule():
    model, history, rates = fit(hypermodel(), epochs=6, initial_epoch=4)
    assert history.epoch == [4, 5]
    assert rates.steps[0] == 8
    assert rates.rates[0] == pytest.approx(float(warmup_cosine(0.01, 12)(8)))
    assert int(model.optimizer.iterations) == 12


def test_without_the_earlier_state_the_schedule_starts_anew():
    @keras.saving.register_keras_serializable(package="keras_lru_tests")
    class Unbuilt(keras.Model):
        def __init__(self, seed=None, **ring):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, inputs):
            return self.dense(inputs)

    model, _, rates = fit(hypermodel(model=Unbuilt), epochs=6, initial_epoch=4)
    assert rates.steps[0] == 0
    assert rates.rates[0] == pytest.approx(float(warmup_cosine(0.01, 4)(0)))
    assert int(model.optimizer.iterations) == 4


def test_fitting_a_model_again_sets_the_schedule_again():
    # Compiled, so that the first schedule is part of the program. Not on PyTorch, where
    # it takes a minute.
    compiled = keras.backend.backend() != "torch"
    hyper = hypermodel(compile_options={"jit_compile": compiled})
    hp = hyperparameters(learning_rate=0.01)
    model = hyper.build(hp)
    hyper.fit(hp, model, X, Y, epochs=1, verbose=0)
    before = model.get_weights()
    # At the end of the first schedule the rate is next to nothing.
    hyper.fit(hp, model, X, Y, epochs=2, initial_epoch=1, verbose=0)
    assert np.abs(model.get_weights()[0] - before[0]).max() > 1e-3


def test_warmup_fraction_is_passed_on():
    _, _, rates = fit(hypermodel(warmup_fraction=0.5), epochs=2)
    assert rates.rates[0] == pytest.approx(1e-7, rel=1e-3)


@pytest.mark.parametrize(("batch_size", "batches"), [(2, 4), (8, 1)])
def test_batch_size_is_searched(batch_size, batches):
    hp = hyperparameters(batch_size=batch_size)
    model, _, _ = fit(hypermodel(batch_size=[2, 8]), hp)
    assert int(model.optimizer.iterations) == batches


def test_batch_size_of_search_replaces_the_setting():
    model, _, _ = fit(hypermodel(), batch_size=8)
    assert int(model.optimizer.iterations) == 1


class Chunks(keras.utils.PyDataset):
    def __init__(self, batch_size):
        super().__init__()
        self.batch_size = batch_size

    def __len__(self):
        return len(X) // self.batch_size

    def __getitem__(self, index):
        rows = slice(index * self.batch_size, (index + 1) * self.batch_size)
        return X[rows], Y[rows]


def test_data_may_be_functions_of_the_batch_size():
    hp = hyperparameters(batch_size=2)
    hyper = hypermodel(batch_size=[2, 8])
    model, history, _ = fit(hyper, hp, x=Chunks, y=None, validation_data=Chunks)
    assert int(model.optimizer.iterations) == 4
    assert "val_loss" in history.history


def test_batches_of_unknown_number_need_steps_per_epoch():
    def endless():
        while True:
            yield X[:4], Y[:4]

    data = {"x": endless(), "y": None, "shuffle": False}
    model, _, _ = fit(hypermodel(), steps_per_epoch=3, epochs=2, **data)
    assert int(model.optimizer.iterations) == 6
    with pytest.raises(FatalValueError, match=r"`steps_per_epoch` must be passed"):
        fit(hypermodel(), **data)


def test_validation_split_leaves_fewer_batches():
    model, history, _ = fit(hypermodel(), validation_split=0.5)
    assert int(model.optimizer.iterations) == 1
    assert "val_loss" in history.history


@pytest.mark.parametrize("validation", [None, (X, Y)], ids=["loss", "val_loss"])
def test_patience_stops_a_trial(validation):
    def nothing(y_true, y_pred):
        return keras.ops.sum(0 * y_pred, axis=-1)

    hyper = hypermodel(loss=nothing, patience=2)
    _, history, _ = fit(hyper, epochs=9, validation_data=validation)
    assert history.epoch == [0, 1, 2]


@pytest.mark.parametrize("where", ["loss", "val_loss"])
def test_what_is_not_finite_fails_the_trial(where):
    bad = np.full_like(X, np.nan if where == "loss" else np.inf)
    data = {"x": bad} if where == "loss" else {"validation_data": (bad, Y)}
    with pytest.raises(FailedTrialError, match=f"Training diverged: {where}="):
        fit(hypermodel(), epochs=3, **data)


def test_training_stops_at_the_first_batch_that_is_not_finite():
    class Count(keras.callbacks.Callback):
        batches = 0

        def on_train_batch_end(self, batch, logs=None):
            self.batches += 1

    count = Count()
    with pytest.raises(FailedTrialError):
        fit(hypermodel(), x=np.full_like(X, np.nan), epochs=3, callbacks=[count])
    assert count.batches == 1


def test_drops_compiled_programs_after_each_trial(dropped):
    fit(hypermodel())
    assert len(dropped) == 1
    with pytest.raises(FailedTrialError):
        fit(hypermodel(), x=np.full_like(X, np.nan))
    assert len(dropped) == 2


def test_executions_of_a_trial_differ_and_repeat():
    def starts(hyper):
        weights = []
        for _ in range(2):
            hp = hyperparameters(learning_rate=0.01)
            model = hyper.build(hp)
            weights.append(model.get_weights()[0])
            hyper.fit(hp, model, X, Y, verbose=0)
        return weights

    first, second = starts(hypermodel())
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(starts(hypermodel()), [first, second])
    assert not np.array_equal(starts(hypermodel(seed=1))[0], first)


def test_a_trial_that_goes_on_is_no_further_execution():
    # Else a search that was killed in between would end elsewhere.
    first = hyperparameters(**{"learning_rate": 0.01, "tuner/epochs": 1})
    second = hyperparameters(**{"learning_rate": 0.01, "tuner/epochs": 2})
    hyper = hypermodel()
    hyper.fit(first, hyper.build(first), X, Y, verbose=0)
    weights, fresh = (h.build(second).get_weights()[0] for h in (hyper, hypermodel()))
    np.testing.assert_array_equal(weights, fresh)


@pytest.fixture
def loaded(monkeypatch):
    """In place of the datasets' `load`: keeps the calls."""
    from keras_lru import datasets

    calls = []

    def load(task, split, batch_size, **options):
        calls.append((task, split, batch_size, options))
        return split

    monkeypatch.setattr(datasets, "load", load)
    return calls


def fit_arguments(hyper, hp, monkeypatch, **kwargs):
    """What the model's `fit` is called with."""
    model, calls = hyper.build(hp), []
    history = keras.callbacks.History()
    history.history = {}
    monkeypatch.setattr(model, "fit", lambda **kwargs: calls.append(kwargs) or history)
    hyper.fit(hp, model, **kwargs)
    return calls[0]


def test_preset_loads_its_data(loaded, monkeypatch):
    preset = get_preset("smnist", "tiny")
    hyper = LRUHyperModel(
        preset, batch_size=[2, 4], data_options={"data_dir": "somewhere"}, seed=7
    )
    hp = hyperparameters(batch_size=4)
    progress = {"epochs": 3, "initial_epoch": 2, "steps_per_epoch": 5}
    called = fit_arguments(hyper, hp, monkeypatch, **progress)
    assert called["x"] == "train"
    assert called["validation_data"] == "validation"
    assert {name: called[name] for name in progress} == progress
    options = {**preset.data_options, "seed": 7, "data_dir": "somewhere"}
    assert loaded == [
        ("smnist", "train", 4, {"repeat": True, "start_step": 10, **options}),
        ("smnist", "validation", 4, options),
    ]


def test_an_epoch_of_a_preset_is_a_tenth_of_its_steps(loaded, monkeypatch):
    hyper, hp = LRUHyperModel(get_preset("smnist", "tiny")), hyperparameters()
    for kwargs, expected in [
        ({}, (10, 100)),
        ({"epochs": 3}, (3, 100)),
        ({"steps_per_epoch": 400}, (3, 400)),
    ]:
        called = fit_arguments(hyper, hp, monkeypatch, **kwargs)
        assert (called["epochs"], called["steps_per_epoch"]) == expected


def test_own_data_replace_a_preset_s(loaded, monkeypatch):
    hyper, hp = LRUHyperModel(get_preset("smnist", "tiny")), hyperparameters()
    called = fit_arguments(hyper, hp, monkeypatch, x=X, y=Y, validation_data=(X, Y))
    assert called["x"] is X
    assert loaded == []
    fit_arguments(hyper, hp, monkeypatch, validation_data=(X, Y))
    assert [split for _, split, *_ in loaded] == ["train"]


def test_refuses_what_contradicts_itself():
    preset = get_preset("smnist", "tiny")
    for kwargs in ({}, {"preset": preset, "model": dense}):
        with pytest.raises(ValueError, match="Pass either `preset` or `model`"):
            LRUHyperModel(**kwargs)
    with pytest.raises(ValueError, match=r"`arguments` must not hold .* \['depth'\]"):
        LRUHyperModel(preset, depth=(1, 2), arguments={"depth": 2})
    with pytest.raises(ValueError, match=r"`arguments` must not hold .* \['r_max'\]"):
        LRUHyperModel(preset, arguments={"r_max": 0.9})
    LRUHyperModel(preset, ring=False, arguments={"r_max": 0.9})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("learning_rate", (0.0, 0.1)),
        ("learning_rate", (0.1, 0.01)),
        ("learning_rate", math.nan),
        ("recurrent_lr_factor", -1.0),
        ("weight_decay", "0.1"),
        ("depth", (1, 2.5)),
        ("depth", 0),
        ("units", []),
        ("state_size", True),
        ("dropout", (0.0, 1.0)),
        ("batch_size", (1, 2, 3)),
        ("learning_rate", 0.0),
        ("warmup_fraction", 2),
        ("patience", "x"),
        ("patience", -1),
        ("seed", -1),
        ("seed", "a"),
        ("ring", 3),
        ("model", 5),
    ],
)
def test_refuses_a_setting(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}="):
        hypermodel(**{name: value})


def test_refuses_a_ring():
    with pytest.raises(ValueError, match=r"`r_max` must be .* Received: r_max="):
        hypermodel(ring={"r_max": (0.9, 1.0)})


def test_refuses_data_before_training():
    with pytest.raises(FatalValueError, match=r"`x` must be passed .* x=None"):
        fit(hypermodel(), x=None, y=None)
    searched = hypermodel(batch_size=[2, 4])
    with pytest.raises(FatalValueError, match=r"`batch_size` must not be passed"):
        fit(searched, batch_size=4)
    with pytest.raises(FatalValueError, match=r"`x` must be arrays, or a function"):
        fit(searched, x=Chunks(4), y=None)
    with pytest.raises(FatalValueError, match=r"`validation_data` must be arrays"):
        fit(searched, validation_data=Chunks(4))
