"""Exports by another process, as on PyTorch, where Keras writes no SavedModels."""

import importlib.util

import keras
import numpy as np
import pytest

from keras_lru import LRU, SequenceRegressor
from keras_lru.export import export_saved_model
from keras_lru.export.by_tensorflow import export_by_tensorflow

from .samples import features

# The others have no need of it.
if keras.backend.backend() != "torch":
    pytestmark = pytest.mark.slow


class OfTheScript(keras.layers.Layer):
    """As if the script that runs had defined it."""


OfTheScript.__module__ = "__main__"


def test_whole_sequences_and_streams_are_served(tmp_path, tensorflow_alone):
    model = SequenceRegressor(2, depth=1, units=4, state_size=4)
    x = features(2, 9)
    expected = keras.ops.convert_to_numpy(model(x))
    # With an optimizer whose class TensorFlow's Keras does not know on PyTorch.
    model.compile("adam", "mse")
    path = str(tmp_path / "model")
    export_by_tensorflow(model, path, verbose=False)
    # Two compilations of one float32 model.
    close = {"rtol": 1e-5, "atol": 1e-5}
    served = tensorflow_alone.serve(path, x)
    np.testing.assert_allclose(served, expected, **close)
    pieces = tensorflow_alone.serve(path, x, [4, None, 4])
    steps = [piece["outputs"] for piece in pieces]
    steps[1] = steps[1][:, None]
    np.testing.assert_allclose(np.concatenate(steps, axis=1), expected, **close)


def test_what_fails_there_fails_here(tmp_path):
    both = keras.layers.Bidirectional(LRU(2), name="both")
    model = keras.Sequential([keras.Input((None, 3)), both], name="reader")
    with pytest.raises(
        ValueError, match=r"cannot be streamed.*'reader', where layer 'both'"
    ):
        export_by_tensorflow(model, tmp_path / "model", verbose=False)
    assert not (tmp_path / "model").exists()


def test_a_layer_of_the_script_is_refused(tmp_path):
    layers = [keras.Input((None, 3)), OfTheScript(name="own"), LRU(2)]
    model = keras.Sequential(layers)
    with pytest.raises(ValueError, match=r"Received: OfTheScript, which is defined"):
        export_by_tensorflow(model, tmp_path / "model")


def test_a_model_that_is_not_built_is_refused(tmp_path):
    model = SequenceRegressor(2, depth=1, units=4, name="empty")
    with pytest.raises(ValueError, match=r"must be built .* model='empty'"):
        export_by_tensorflow(model, tmp_path / "model")


def test_models_are_exported_the_same_way(tmp_path, tensorflow_alone, backend):
    if backend != "torch":
        pytest.skip("the others write SavedModels themselves")
    model = SequenceRegressor(2, depth=1, units=4, state_size=4)
    x = features(2, 9)
    expected = keras.ops.convert_to_numpy(model(x))
    paths = [str(tmp_path / name) for name in ("by_keras", "by_function")]
    model.export(paths[0], verbose=False)
    export_saved_model(model, paths[1], streaming=False, verbose=False)
    for path in paths:
        served = tensorflow_alone.serve(path, x)
        np.testing.assert_allclose(served, expected, rtol=1e-5, atol=1e-5)


def test_modules_of_all_that_is_not_keras_s_are_imported(tmp_path, monkeypatch):
    module = tmp_path / "written_by_somebody.py"
    module.write_text(
        "import keras\n"
        "register = keras.saving.register_keras_serializable('somebody')\n"
        "@register\n"
        "class Tenth(keras.initializers.Initializer):\n"
        "    def __call__(self, shape, dtype=None):\n"
        "        return keras.ops.full(shape, 0.1, dtype)\n"
        "@register\n"
        "def halved(x):\n"
        "    return x / 2\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    somebody = importlib.import_module("written_by_somebody")
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            LRU(4, input_initializer=somebody.Tenth(), return_sequences=True),
            keras.layers.Dense(2, activation=somebody.halved),
            keras.layers.Lambda(lambda x: x + 1),
        ]
    )
    export_by_tensorflow(model, tmp_path / "model", streaming=False, verbose=False)
    assert (tmp_path / "model" / "saved_model.pb").exists()


def test_tensorflow_must_be_there(tmp_path, monkeypatch):
    model = SequenceRegressor(2, depth=1, units=4)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name: None if name == "tensorflow" else find_spec(name),
    )
    with pytest.raises(ImportError, match=r"TensorFlow, which is not installed: pip"):
        export_by_tensorflow(model, tmp_path / "model")
