"""A search goes on with what it was made with."""

import dataclasses

import keras
import keras_tuner
import pytest
from keras_tuner.errors import FatalValueError

from keras_lru.experiments import get_preset
from keras_lru.tuner import LRUHyperModel, trial_table

from .searches import dense, hypermodel, search


def make_tuner(directory, hyper, max_trials=1):
    return keras_tuner.RandomSearch(
        hyper, "val_loss", max_trials=max_trials, directory=directory, seed=1
    )


@pytest.fixture
def folder(tmp_path):
    """With a search of one trial in it."""
    search(make_tuner(tmp_path, hypermodel()), epochs=1)
    return tmp_path


OTHERS = [
    ({"batch_size": 8}, {}, r"This trial was made .*: batch_size: 4, now 8$"),
    ({"learning_rate": (1e-3, 2e-3)}, {}, r"search in .*learning_rate: .*0\.001"),
    ({"ring": {"r_max": [0.9]}}, {}, r"The search in .* ring: \{\}, now \{'r_max'"),
    ({"seed": 2}, {}, r"The search in .* was made .*: seed: 0, now 2$"),
    ({}, {"epochs": 2}, r"The search in .* was made .*: epochs: 1, now 2$"),
]


def test_refuses_to_go_on_with_other_settings(folder):
    for changes, options, message in OTHERS:
        tuner = make_tuner(folder, hypermodel(**changes), max_trials=2)
        with pytest.raises(FatalValueError, match=message):
            search(tuner, **{"epochs": 1, **options})
    # As it was made it goes on.
    table = search(make_tuner(folder, hypermodel(), max_trials=2), epochs=1)
    assert [row["status"] for row in table] == ["COMPLETED"] * 2


def test_a_table_is_of_the_settings_that_the_trials_had(folder):
    other = make_tuner(folder, hypermodel(weight_decay=0.5))
    with pytest.raises(ValueError, match=r"made .*: weight_decay: 0.05, now 0.5"):
        trial_table(other)


def two_layers(units, seed=None, **ring):
    layers = [keras.Input((3,)), keras.layers.Dense(units), keras.layers.Dense(1)]
    return keras.Sequential(layers)


def test_best_models_of_other_arguments_are_refused_by_name(tmp_path):
    def make(units):
        hyper = hypermodel(model=two_layers, arguments={"units": units})
        return make_tuner(tmp_path, hyper)

    tuner = make(units=4)
    search(tuner)
    tuner.get_best_models()
    with pytest.raises(ValueError, match=r"made .* Received: units: 4, now 2$"):
        make(units=2).get_best_models()


def test_names_arguments_of_every_kind():
    def made_with(preset=None, **arguments):
        hyper = LRUHyperModel(
            preset, model=None if preset else dense, arguments=arguments
        )
        hp = keras_tuner.HyperParameters()
        hyper.resolve(hp)
        return hyper, hp

    def gru(units):
        return keras.layers.GRU(units, return_sequences=True)

    # Numbered names of layers don't differ.
    _, hp = made_with(recurrence=gru(4), activation=keras.ops.relu, sizes=(1, 2))
    made_with(recurrence=gru(4), activation=keras.ops.relu, sizes=[1, 2])[0].resolve(hp)
    other, _ = made_with(recurrence=gru(4), activation=keras.ops.tanh, sizes=(1, 2))
    with pytest.raises(ValueError, match=r"Received: activation: 'relu', now 'tanh'$"):
        other.resolve(hp)
    other, _ = made_with(recurrence=gru(8), sizes=(1, 2))
    with pytest.raises(
        ValueError, match=r"activation: 'relu', now left .*; recurrence"
    ):
        other.resolve(hp)

    preset = get_preset("smnist", "tiny")
    _, hp = made_with(preset)
    other, _ = made_with(dataclasses.replace(preset, depth=preset.depth + 1))
    with pytest.raises(ValueError, match=r"Received: depth: \d, now \d$"):
        other.resolve(hp)


def test_where_data_are_and_how_a_model_runs_may_change():
    def training(**kwargs):
        return LRUHyperModel(get_preset("smnist", "tiny"), **kwargs)._training()

    assert training() == training(
        data_options={"data_dir": "elsewhere"}, compile_options={"jit_compile": False}
    )
    assert training() != training(data_options={"max_length": 3})
