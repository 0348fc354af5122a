"""What is searched is what the recurrence of the model reads."""

import dataclasses

import keras
import keras_tuner
import pytest
from keras_tuner.errors import FatalValueError

from keras_lru import LRU, S5, DenseRNN, LRUCell, SequenceClassifier
from keras_lru.experiments import (
    get_preset,
    make_recurrence,
    settings_of_recurrence,
)
from keras_lru.experiments.recurrences import RECURRENCES
from keras_lru.tuner import LRUHyperModel
from keras_lru.tuner.ring import RING

from .searches import searched

SMALL = {"num_classes": 2, "depth": 1, "units": 4}
RINGED = {"lru", "stable_exp", "exp", "real_imag"}


def hyperparameters(**values):
    hp = keras_tuner.HyperParameters()
    hp.values.update(values)
    return hp


def with_template(recurrence, **kwargs):
    arguments = {**SMALL, **kwargs.pop("arguments", {}), "recurrence": recurrence}
    return LRUHyperModel(model=SequenceClassifier, arguments=arguments, **kwargs)


def ring_of(layer):
    return tuple(getattr(layer, name) for name in RING)


@pytest.mark.parametrize("name", RECURRENCES)
def test_a_preset_searches_the_ring_that_its_recurrence_reads(name):
    preset = dataclasses.replace(get_preset("smnist", "tiny"), recurrence=name)
    hyper, hp = LRUHyperModel(preset), hyperparameters()
    settings = hyper.resolve(hp)
    assert ("one_minus_r_max" in hp.values) == (name in RINGED)
    assert set(RING) & set(settings) == (set(RING) if name in RINGED else set())
    assert ("state_size" in settings) == ("state_size" in settings_of_recurrence(name))


@pytest.mark.parametrize("name", RECURRENCES)
def test_what_a_recurrence_reads_is_what_changes_it(name):
    def config(**changes):
        settings = {"units": 8, "state_size": 16, "r_min": 0.1, "r_max": 0.9}
        layer = make_recurrence(name, **{**settings, "max_phase": 1.0, **changes})
        return layer and {**layer.get_config(), "name": None}

    changes = {"state_size": 32, "r_min": 0.2, "r_max": 0.8, "max_phase": 2.0}
    read = settings_of_recurrence(name)
    if name == "lru":
        # The backbone makes it, of all of them.
        assert set(read) == set(changes)
    else:
        changed = {n for n, v in changes.items() if config(**{n: v}) != config()}
        assert set(read) == changed


TEMPLATES = {
    "LRU": lambda: LRU(4, state_size=3, r_max=0.5, return_sequences=True),
    "serialized": lambda: keras.saving.serialize_keras_object(TEMPLATES["LRU"]()),
    "RNN": lambda: keras.layers.RNN(
        LRUCell(4, state_size=3, r_max=0.5), return_sequences=True
    ),
    "Bidirectional": lambda: keras.layers.Bidirectional(
        TEMPLATES["LRU"](), merge_mode="sum"
    ),
}


@pytest.mark.parametrize("kind", TEMPLATES)
def test_the_ring_of_a_template_is_searched(kind):
    hyper = with_template(TEMPLATES[kind](), state_size=[5, 6])
    hp = hyperparameters(one_minus_r_max=0.01, r_min_fraction=0.5, state_size=6)
    model, settings = hyper.build(hp), hyper.resolve(hp)
    layer = model.backbone.blocks[0].recurrence
    layers = {
        "RNN": lambda: [layer.cell],
        "Bidirectional": lambda: [layer.forward_layer, layer.backward_layer],
    }.get(kind, lambda: [layer])()
    for layer in layers:
        assert ring_of(layer) == tuple(settings[name] for name in RING)
        assert settings["r_max"] == pytest.approx(0.99)
        assert layer.state_size in (6, [6, 6])


def test_a_ring_that_is_not_searched_is_the_template_s():
    hp = hyperparameters()
    settings = with_template(TEMPLATES["LRU"](), ring=False).resolve(hp)
    assert (settings["r_max"], settings["state_size"]) == (0.5, 3)
    assert [entry.name for entry in searched(hp)] == ["learning_rate"]


def test_the_units_of_a_template_are_those_of_the_model():
    hyper = LRUHyperModel(
        model=SequenceClassifier,
        arguments={"num_classes": 2, "depth": 1, "recurrence": TEMPLATES["LRU"]()},
        units=[4, 8],
    )
    model = hyper.build(hyperparameters(units=8))
    assert model.backbone.blocks[0].recurrence.units == 8


@pytest.mark.parametrize(
    ("layer", "sizes"),
    [(keras.layers.GRU, 0), (S5, 1), (DenseRNN, 1)],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_no_ring_is_searched_that_a_template_does_not_have(layer, sizes):
    template, hp = layer(4, return_sequences=True), hyperparameters()
    settings = with_template(template).resolve(hp)
    assert [entry.name for entry in searched(hp)] == ["learning_rate"]
    assert not set(RING) & set(settings)
    assert ("state_size" in settings) == bool(sizes)
    with pytest.raises(ValueError, match=r"`ring` must be left out: .* ring=\{"):
        with_template(template, ring={"fixed": {"r_min": 0.0}})
    if sizes:
        with_template(template, state_size=[8, 16]).build(hp)
    else:
        with pytest.raises(ValueError, match=r"`state_size` must be left out: .*\[8,"):
            with_template(template, state_size=[8, 16])


def test_refuses_a_ring_that_the_model_of_a_function_does_not_read():
    def make(seed=None, **ring):
        gru = keras.layers.GRU(4, return_sequences=True)
        return SequenceClassifier(**SMALL, recurrence=gru, seed=seed)

    with pytest.raises(FatalValueError, match=r"`ring` must be False: .* of GRU"):
        LRUHyperModel(model=make).build(hyperparameters())
    LRUHyperModel(model=make, ring=False).build(hyperparameters())
