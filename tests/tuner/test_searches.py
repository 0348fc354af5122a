import shutil

import keras
import keras_tuner
import numpy as np
import pytest

from keras_lru import SequenceClassifier
from keras_lru.tuner import LRUHyperModel, ring_hyperparameters, trial_table

from .searches import X, Y, dense, hypermodel, search

TUNERS = {
    "random": (keras_tuner.RandomSearch, {"max_trials": 3}),
    "hyperband": (keras_tuner.Hyperband, {"max_epochs": 2, "factor": 2}),
    # Three random trials before the first that a model of the scores proposes.
    "bayesian": (
        keras_tuner.BayesianOptimization,
        {"max_trials": 4, "num_initial_points": 3},
    ),
    "grid": (keras_tuner.GridSearch, {"max_trials": 3}),
}


def make_tuner(kind, directory, hyper=None, seed=1, **kwargs):
    tuner, options = TUNERS[kind]
    return tuner(
        hypermodel() if hyper is None else hyper,
        "val_loss",
        directory=directory,
        seed=seed,
        **{**options, **kwargs},
    )


@pytest.fixture
def make(tmp_path):
    """Makes a tuner in a folder of its own."""

    def make(kind, hyper=None, directory="search", **kwargs):
        return make_tuner(kind, tmp_path / directory, hyper, **kwargs)

    return make


class Starts(keras.callbacks.Callback):
    """What optimizers know when a trial starts, by the epoch at which it ends."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, logs=None):
        optimizer = self.model.optimizer
        moments = [np.abs(np.asarray(v)).max() for v in optimizer._momentums]
        self.found.setdefault(self.params["epochs"], []).append(
            (int(optimizer.iterations), max(moments, default=0) > 0)
        )


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """Makes one search of each kind for all tests: the tuner, the table, the starts."""
    finished = {}

    def search_once(kind):
        if kind not in finished:
            tuner = make_tuner(kind, tmp_path_factory.mktemp(kind))
            starts = Starts()
            finished[kind] = tuner, search(tuner, callbacks=[starts]), starts.found
        return finished[kind]

    return search_once


# Too few scores for scikit-learn to fit a model to.
@pytest.mark.filterwarnings("ignore:The optimal value found for dimension")
@pytest.mark.parametrize(
    "kind",
    [
        "random",
        "hyperband",
        pytest.param("bayesian", marks=pytest.mark.slow),
        pytest.param("grid", marks=pytest.mark.slow),
    ],
)
def test_every_tuner_searches_and_repeats_itself(kind, make, searched):
    first, second = searched(kind)[1], search(make(kind))
    assert len(first) >= 3
    assert {row["status"] for row in first} == {"COMPLETED"}
    assert first == second
    scores = [row["score"] for row in first]
    assert scores == sorted(scores)
    assert len(set(scores)) > 1


@pytest.mark.slow
def test_other_seeds_give_other_trials_and_scores(make, searched):
    first = searched("random")[1]
    trials = search(make("random", seed=2))
    scores = search(make("random", hypermodel(seed=1), "scores"))
    assert values(first) != values(trials)
    assert values(first, by_id=True) == values(scores, by_id=True)
    assert {row["score"] for row in first} != {row["score"] for row in scores}


def values(table, by_id=False):
    if by_id:
        table = sorted(table, key=lambda row: row["trial_id"])
    return [row["hyperparameters"] for row in table]


def test_hyperband_goes_on_where_the_earlier_trial_stopped(searched):
    _, table, starts = searched("hyperband")
    # One epoch of two batches, then a second one with the state of the first.
    goes_on = [row for row in table if "tuner/trial_id" in row["hyperparameters"]]
    assert len(goes_on) >= 1
    assert set(starts[1]) == {(0, False)}
    assert starts[2].count((2, True)) == len(goes_on)


def test_best_models_come_with_their_optimizers(searched):
    tuner, table, _ = searched("random")
    model = tuner.get_best_models()[0]
    loss = model.evaluate(X, Y, return_dict=True, verbose=0)["loss"]
    assert loss == pytest.approx(table[0]["score"], rel=1e-5)
    assert int(model.optimizer.iterations) > 0
    hp = tuner.get_best_hyperparameters()[0]
    assert {**hp.values, **table[0]["hyperparameters"]} == hp.values


def test_a_trial_that_diverges_fails_and_the_search_goes_on(make):
    def exploding(seed=None, max_phase=1.0, **ring):
        model = dense(seed=seed)
        # A rate of its own for every trial decides which one explodes.
        scale = np.inf if max_phase > 0.5 else 1.0
        return keras.Sequential([model, keras.layers.Rescaling(scale)])

    hyper = hypermodel(model=exploding, ring={"max_phase": [0.1, 1.0]})
    tuner = make("random", hyper, max_trials=6, max_consecutive_failed_trials=9)
    table = search(tuner)
    assert len(table) == 6
    for row in table:
        diverges = row["settings"]["max_phase"] > 0.5
        assert row["status"] == ("FAILED" if diverges else "COMPLETED")
        assert (row["score"] is None) == diverges
        assert ("Training diverged: loss=" in (row["message"] or "")) == diverges
    statuses = [row["status"] for row in table]
    assert 0 < statuses.count("FAILED") < 6
    # Those without a score come last.
    assert statuses == sorted(statuses)


def test_table_resolves_the_ring(searched):
    for row in searched("random")[1]:
        drawn, settings = row["hyperparameters"], row["settings"]
        r_max = 1 - drawn["one_minus_r_max"]
        assert settings["r_max"] == pytest.approx(r_max)
        assert settings["r_min"] == pytest.approx(drawn["r_min_fraction"] * r_max)
        assert settings["max_phase"] == drawn["max_phase"]
        assert settings["learning_rate"] == drawn["learning_rate"]
        assert settings["batch_size"] == 4


def test_table_sorts_what_is_to_be_large(tmp_path):
    class Tuner(keras_tuner.RandomSearch):
        def run_trial(self, trial, **kwargs):
            return {"score": ring_hyperparameters(trial.hyperparameters)["r_max"]}

    objective = keras_tuner.Objective("score", "max")
    tuner = Tuner(objective=objective, max_trials=4, directory=tmp_path, seed=1)
    tuner.search(verbose=0)
    table = trial_table(tuner, ring_hyperparameters)
    scores = [row["score"] for row in table]
    assert scores == sorted(scores, reverse=True)
    assert [row["settings"]["r_max"] for row in table] == pytest.approx(scores)
    assert trial_table(tuner)[0]["settings"] == {}


def test_a_search_goes_on_in_the_same_folder(searched, tmp_path):
    tuner, first, _ = searched("random")
    shutil.copytree(tuner.directory, tmp_path / "search")
    again = make_tuner("random", tmp_path / "search", max_trials=4)
    assert trial_table(again) == first
    table = search(again)
    assert len(table) == 4
    assert all(row in table for row in first)


@pytest.mark.slow
def test_hyperband_over_models_of_the_library(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(8, 5, 2)).astype("float32")
    hyper = LRUHyperModel(
        model=SequenceClassifier,
        arguments={"num_classes": 2, "depth": 1, "units": 4},
        state_size=[2, 3],
        batch_size=[4, 8],
        compile_options={"run_eagerly": True},
        seed=0,
    )
    tuner = keras_tuner.Hyperband(
        hyper, "val_accuracy", max_epochs=2, factor=2, directory=tmp_path, seed=1
    )
    y = np.arange(8) % 2
    tuner.search(x, y, validation_data=(x, y), verbose=0)
    table = trial_table(tuner)
    assert {row["status"] for row in table} == {"COMPLETED"}
    assert any("tuner/trial_id" in row["hyperparameters"] for row in table)
    model = tuner.get_best_models()[0]
    accuracy = model.evaluate(x, y, return_dict=True, verbose=0)["accuracy"]
    assert accuracy == pytest.approx(table[0]["score"])
