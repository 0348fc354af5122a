import dataclasses
import math

import keras
import pytest

from keras_lru.datasets.tasks import TASKS
from keras_lru.experiments import get_preset, make_recurrence
from keras_lru.experiments.recurrences import RECURRENCES
from keras_lru.experiments.settings import TASKS_WITH_PRESETS
from keras_lru.models import PairClassifier, SequenceClassifier

# Table 9: depth, H, N, steps, batch, LR factor, weight decay, dropout, ring.
TABLE = {
    "scifar": (6, 512, 384, 180_000, 50, 0.25, 0.05, 0.1, 0.9, 0.999),
    "listops": (6, 128, 256, 80_000, 32, 0.5, 0.05, 0.0, 0.0, 0.99),
    "text": (6, 256, 192, 50_000, 32, 0.1, 0.05, 0.1, 0.5, 0.9),
    "retrieval": (6, 128, 256, 100_000, 64, 0.5, 0.05, 0.1, 0.5, 0.9),
    "pathfinder": (6, 192, 256, 500_000, 64, 0.25, 0.05, 0.0, 0.9, 0.999),
    "pathx": (6, 128, 256, 250_000, 32, 0.25, 0.05, 0.0, 0.999, 0.9999),
}
COLUMNS = (
    *("depth", "units", "state_size", "steps", "batch_size", "recurrent_lr_factor"),
    *("weight_decay", "dropout", "r_min", "r_max"),
)
SCALES = ("paper", "small", "tiny")


@pytest.mark.parametrize("task", TABLE)
def test_paper_s_presets_are_table_9(task):
    preset = get_preset(task)
    assert tuple(getattr(preset, name) for name in COLUMNS) == TABLE[task]
    assert preset.scale == "paper"
    assert set(preset.data_options.values()) == {None, 1}


def test_paper_s_base_rates():
    rates = {task: get_preset(task).learning_rate for task in TABLE}
    assert rates == {
        "scifar": 0.004,
        "listops": 0.003,
        "text": 0.004,
        "retrieval": 0.002,
        "pathfinder": 0.004,
        "pathx": 0.002,
    }


@pytest.mark.parametrize("scale", SCALES)
def test_what_sets_path_tasks_apart(scale):
    presets = {task: get_preset(task, scale) for task in TASKS_WITH_PRESETS}
    both_ways = {task for task, preset in presets.items() if preset.bidirectional}
    assert both_ways == {"pathfinder", "pathx"}
    assert {task for task, preset in presets.items() if preset.glu == "half"} == {
        "pathx"
    }
    phases = {task: preset.max_phase for task, preset in presets.items()}
    assert phases.pop("pathx") == math.pi / 10
    assert set(phases.values()) == {2 * math.pi}


@pytest.mark.parametrize("task", TASKS_WITH_PRESETS)
@pytest.mark.parametrize("scale", SCALES)
def test_builds_the_task_s_model_as_the_preset_says(task, scale):
    preset = get_preset(task, scale)
    model = preset.build_model(depth=1)
    assert type(model) is (
        PairClassifier if task == "retrieval" else SequenceClassifier
    )
    assert model.num_classes == TASKS[task].num_classes
    backbone = model.backbone
    for name in ("units", "state_size", "r_min", "r_max", "max_phase", "dropout"):
        assert getattr(backbone, name) == getattr(preset, name)
    for name in ("glu", "bidirectional", "norm_momentum"):
        assert getattr(backbone, name) == getattr(preset, name)
    assert backbone.vocabulary_size == TASKS[task].vocabulary_size
    assert backbone.mask_zero == (task in ("listops", "text", "retrieval"))


TOKENS = keras.KerasTensor((4, None), "int32")


@pytest.mark.parametrize(
    ("task", "inputs"),
    [
        ("scifar", keras.KerasTensor((4, 6, 3))),
        ("listops", TOKENS),
        ("retrieval", (TOKENS, TOKENS)),
    ],
)
def test_models_read_their_task_s_inputs(task, inputs):
    preset = get_preset(task, "tiny")
    model = preset.build_model(depth=1, units=8, state_size=8)
    assert tuple(model(inputs).shape) == (4, TASKS[task].num_classes)


def test_depth_is_the_preset_s():
    preset = get_preset("smnist", "tiny")
    assert len(preset.build_model().backbone.blocks) == preset.depth


def test_overrides_replace_and_add():
    lstm = keras.layers.LSTM(16, return_sequences=True)
    model = get_preset("scifar", "tiny").build_model(
        num_classes=3, units=16, depth=1, recurrence=lstm, pooling="last", seed=1
    )
    assert model.num_classes == 3
    assert model.pooling.mode == "last"
    assert isinstance(model.backbone.blocks[0].recurrence, keras.layers.LSTM)
    with pytest.raises(ValueError, match="`glu` must be one of"):
        get_preset("scifar", "tiny").build_model(glu="quarter")


@pytest.mark.parametrize("name", RECURRENCES)
def test_another_recurrence_takes_the_lru_s_place(name):
    preset = dataclasses.replace(get_preset("smnist", "tiny"), recurrence=name)
    model = preset.build_model(depth=2, units=8, state_size=8)
    assert tuple(model(keras.KerasTensor((4, 6, 1))).shape) == (4, 10)
    first, second = (block.recurrence for block in model.backbone.blocks)
    assert first is not second


def test_the_ladder_is_the_paper_s():
    def recurrence(name, **changes):
        preset = get_preset("smnist", "tiny")
        preset = dataclasses.replace(preset, recurrence=name, **changes)
        return preset.build_model(depth=1).backbone.blocks[0].recurrence

    assert recurrence("lru").normalize
    for name in ("stable_exp", "exp", "real_imag"):
        layer = recurrence(name, r_min=0.1, r_max=0.8)
        assert layer.parameterization == name
        assert not layer.normalize
        assert (layer.r_min, layer.r_max) == (0.1, 0.8)
    config = recurrence("rnn_tanh", state_size=24).get_config()
    assert config["state_size"] == 24
    assert recurrence("rnn_linear").activation is keras.activations.linear
    # 24 complex states are stored, as many as the LRU has.
    assert recurrence("s5", state_size=24).get_config()["state_size"] == 48
    with pytest.raises(ValueError, match=r"`recurrence` must be one of .*'lru'.*'rnn'"):
        recurrence("rnn")


@pytest.mark.parametrize("task", TASKS_WITH_PRESETS)
def test_scales_get_smaller(task):
    paper, small, tiny = (get_preset(task, scale) for scale in SCALES)
    assert [preset.scale for preset in (paper, small, tiny)] == list(SCALES)
    for name in ("depth", "units", "state_size", "steps"):
        sizes = [getattr(preset, name) for preset in (paper, small, tiny)]
        assert sizes == sorted(sizes, reverse=True)
        assert sizes[0] > sizes[2]
    # With few steps the moving statistics must not lag behind.
    assert tiny.norm_momentum == 0.9
    assert paper.norm_momentum == 0.99


def test_unknown_recurrences_are_refused():
    with pytest.raises(ValueError, match=r"`recurrence` must be .*recurrence='foo'"):
        make_recurrence("foo", 4, 4, r_min=0, r_max=1, max_phase=1)


def test_presets_cannot_be_changed_by_accident():
    with pytest.raises(dataclasses.FrozenInstanceError):
        get_preset("text").steps = 3
    presets = {get_preset(task) for task in TASKS_WITH_PRESETS}
    assert len(presets) == len(TASKS_WITH_PRESETS)


def test_refuses_tasks_without_a_preset():
    with pytest.raises(ValueError, match=r"`task` .*'psmnist'.*task='copy_memory'"):
        get_preset("copy_memory")


def test_refuses_unknown_names():
    with pytest.raises(ValueError, match=r"`task` must be one of .* Received: task='x"):
        get_preset("xyz")
    with pytest.raises(ValueError, match=r"`scale` must be one of .*scale='huge'"):
        get_preset("text", "huge")


@pytest.mark.parametrize(
    "change",
    [
        {"steps": 0},
        {"steps": "abc"},
        {"depth": 1.5},
        {"r_max": 1.1},
        {"max_phase": -1},
        {"dropout": 1.0},
        {"learning_rate": -0.1},
        {"weight_decay": "x"},
    ],
)
def test_refuses_a_number_out_of_its_range(change):
    (name,) = change
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}="):
        dataclasses.replace(get_preset("text", "tiny"), **change)
