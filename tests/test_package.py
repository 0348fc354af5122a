"""What the package exposes, and what importing it costs."""

import importlib
import pkgutil
import subprocess
import sys

import pytest

import keras_lru

PUBLIC = {
    "keras_lru": [
        "DenseRNN",
        "DenseRNNCell",
        "LRU",
        "LRUBackbone",
        "LRUBlock",
        "LRUCell",
        "LanguageModel",
        "PairClassifier",
        "RGLRU",
        "RGLRUCell",
        "ResidualBlock",
        "S4D",
        "S4DCell",
        "S5",
        "S5Cell",
        "SequenceClassifier",
        "SequenceForecaster",
        "SequenceRegressor",
        "distribution",
        "experiments",
        "export",
        "initializers",
        "layers",
        "models",
        "ops",
        "training",
        "compress",
    ],
    "keras_lru.convert": ["from_minimal_lru"],
    "keras_lru.datasets": [
        "TASKS",
        "CopyMemory",
        "CopyMemoryConfig",
        "ListOpsConfig",
        "LraAan",
        "LraListops",
        "LraPathfinder",
        "PackedSequences",
        "PathfinderConfig",
        "Task",
        "get_task",
        "load",
        "num_examples",
        "pack",
    ],
    "keras_lru.distribution": ["layout_map", "sequence_parallel"],
    "keras_lru.experiments": [
        "Preset",
        "get_preset",
        "make_optimizer",
        "make_recurrence",
        "settings_of_recurrence",
    ],
    "keras_lru.export": ["export_saved_model", "step_model"],
    "keras_lru.initializers": [
        "ContinuousEigenvalues",
        "Gamma",
        "LogTimescale",
        "LogUniform",
        "RingMagnitude",
        "RingPhase",
        "ring_from_memory",
    ],
    "keras_lru.layers": [
        "Bidirectional",
        "DenseRNN",
        "DenseRNNCell",
        "LRU",
        "LRUBlock",
        "LRUCell",
        "RGLRU",
        "RGLRUCell",
        "ResidualBlock",
        "S4D",
        "S4DCell",
        "S5",
        "S5Cell",
    ],
    "keras_lru.models": [
        "LRUBackbone",
        "LanguageModel",
        "PairClassifier",
        "SequenceClassifier",
        "SequenceForecaster",
        "SequenceRegressor",
        "seasonal_naive",
    ],
    "keras_lru.ops": ["associative_scan", "diagonal_ssm", "linear_recurrence"],
    "keras_lru.compress": ["ReduceStates", "Reduced", "ReducedLayer", "reduce_states"],
    "keras_lru.training": [
        "RECURRENT_VARIABLES",
        "AdamW",
        "OnlineLearner",
        "Processes",
        "TrainingCheckpoint",
        "compile_recommended",
        "data_parallel",
        "join_processes",
        "warmup_cosine",
    ],
    "keras_lru.tuner": [
        "LRUHyperModel",
        "repair_search",
        "ring_hyperparameters",
        "trial_table",
    ],
    "keras_lru.visualization": [
        "SpectrumLogger",
        "find_eigenvalues",
        "half_lives",
        "memory_summary",
        "plot_eigenvalues",
        "plot_half_lives",
        "plot_impulse_responses",
        "plot_singular_values",
        "plot_spectrum_history",
    ],
}


def test_public_names_are_these():
    for module, names in PUBLIC.items():
        exposed = importlib.import_module(module)
        assert sorted(exposed.__all__) == sorted(names), module
        assert all(hasattr(exposed, name) for name in names)


def test_every_part_of_the_package_says_what_is_public():
    parts = {
        f"keras_lru.{part.name}" for part in pkgutil.iter_modules(keras_lru.__path__)
    }
    inner = {
        "keras_lru.backend",
        "keras_lru.checks",
        "keras_lru.deprecation",
        "keras_lru.registration",
    }
    assert parts - inner == PUBLIC.keys() - {"keras_lru"}


@pytest.mark.parametrize(
    ("module", "name"),
    [("models", "Preset"), ("models", "get_preset"), ("training", "make_optimizer")],
)
def test_names_that_moved_to_the_experiments_are_where_they_were(module, name):
    old = importlib.import_module(f"keras_lru.{module}")
    message = rf"`keras_lru.{module}.{name}` has moved: use `keras_lru.experiments"
    with pytest.warns(DeprecationWarning, match=message):
        found = getattr(old, name)
    assert found is getattr(keras_lru.experiments, name)


def test_import_brings_nothing_that_keras_does_not():
    # Other backends, TFDS, KerasTuner, Matplotlib and SciPy included.
    code = """
import sys
import keras
before = {name.partition(".")[0] for name in sys.modules}
import keras_lru
after = {name.partition(".")[0] for name in sys.modules}
print(*sorted(after - before - set(sys.stdlib_module_names)))
"""
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    # Those two import what is asked for when it is asked for.
    assert set(process.stdout.split()) - {"lazy_loader", "wrapt"} == {"keras_lru"}


def test_import_alone_brings_neither_keras_nor_numpy():
    code = "import sys, keras_lru; print(*{'keras', 'numpy'} & sys.modules.keys())"
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert process.stdout.split() == []


@pytest.mark.parametrize(
    "imports",
    [
        "import keras_lru, keras",
        pytest.param("import keras, keras_lru", marks=pytest.mark.slow),
        pytest.param("from keras_lru import LRU", marks=pytest.mark.slow),
        # What the packages with classes import, imported first.
        "from keras_lru.ops import associative_scan",
        pytest.param("import keras_lru.training", marks=pytest.mark.slow),
    ],
)
def test_classes_are_registered_whatever_is_imported_first(imports):
    code = f"""
{imports}
from keras.saving import get_registered_object
print(*(get_registered_object(f"keras_lru>{{name}}").__name__ for name in (
    "AdamW", "LRU", "RingPhase", "SequenceClassifier")))
"""
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    assert process.stdout.split() == ["AdamW", "LRU", "RingPhase", "SequenceClassifier"]


def test_version_is_a_version():
    assert [part.isdigit() for part in keras_lru.__version__.split(".")] == [True] * 3
