"""Shared fixtures: the suite runs once per backend, chosen by KERAS_BACKEND."""

import os
import tempfile

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
# The machine code of many small programs: optimizing it takes longer than running it,
# and the older of the two ways of making it takes less time.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false "
    "--xla_cpu_parallel_codegen_split_count=2",
)
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    # Tests compile the same small programs again and again, in every process.
    _compiled = tempfile.TemporaryDirectory(prefix="keras_lru_compiled_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = _compiled.name
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"

import gc
import importlib.util

import pytest

# Keras is imported where it is used: xdist's own process would only start later.

# No backend runs in these: once is enough, with the suite of the first.
WITHOUT_BACKEND = (
    "keras_lru/datasets/building/",
    "keras_lru/datasets/generating/",
    "tests/datasets/building/",
    "tests/datasets/generating/",
    "tests/datasets/reading/test_batches.py",
    "tests/datasets/reading/test_damage.py",
    "tests/datasets/reading/test_prepared_builder.py",
    "tests/datasets/reading/test_ragged_sequences.py",
    "tests/datasets/reading/test_split_in_memory.py",
    "tests/datasets/test_",
    "tests/test_package.py::test_classes_are_registered",
    "tests/test_project_files.py",
)


# On PyTorch another process exports, on TensorFlow, in whose suite these are.
EXPORTS = (
    "tests/examples/test_export_savedmodel.py",
    "tests/export/test_export.py",
    "tests/export/test_exported_streams.py",
    "tests/export/test_faults.py",
    "tests/export/test_own_layers.py",
    "tests/export/test_refusals.py",
    "tests/export/test_unknown_sizes.py",
)


def pytest_collection_modifyitems(config, items):
    """Leave out of the other backends' suites what they don't run in."""
    import keras

    if keras.backend.backend() == "jax":
        return
    files = WITHOUT_BACKEND
    if keras.backend.backend() == "torch":
        files += EXPORTS
    left_out = [item for item in items if item.nodeid.startswith(files)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


def pytest_collection_finish(session):
    """Take what has been imported out of the sight of the garbage collector."""
    gc.collect()
    gc.freeze()
    # Tracing makes objects by the thousand that live as long as a program.
    gc.set_threshold(20_000, 20, 20)
    # Keras asks for it once for each variable that `quantize` deletes.
    gc.collect = lambda generation=2: 0


# What Keras hasn't on a backend, as the library or Keras says when it is asked for it.
REFUSALS = {
    "torch": (
        "SavedModels are written on the backends 'jax' and 'tensorflow'.",
        "`steps_per_execution` must be 1 with the PyTorch backend",
    )
}


class OfAllFolders:
    """Hooks for the doctests of the library too, which are outside of this folder."""

    def pytest_ignore_collect(self, collection_path):
        """Leave out the module of a backend that is not installed."""
        if collection_path.parts[-2:] == ("backend", "torch.py"):
            return importlib.util.find_spec("torch") is None or None
        return None

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_setup(self):
        return (yield from _skipping_refusals())

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self):
        return (yield from _skipping_refusals())


def pytest_configure(config):
    config.pluginmanager.register(OfAllFolders())


def _skipping_refusals():
    """Skips tests of what a backend refuses, with its own words as the reason."""
    import keras

    try:
        return (yield)
    except Exception as error:
        # Failed doctests hold what was raised in them.
        failures = getattr(error, "failures", [error])
        raised = [getattr(e, "exc_info", (None, e))[1] for e in failures]
        for sentence in REFUSALS.get(keras.backend.backend(), ()):
            if any(sentence in str(e) for e in raised):
                pytest.skip(sentence)
        raise


@pytest.fixture(autouse=True)
def _reproducible():
    """Same seed, same global dtype policy, no leftover graph, for every test."""
    import keras

    # Collecting garbage takes half a second, more than most tests.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def backend():
    import keras

    return keras.backend.backend()
