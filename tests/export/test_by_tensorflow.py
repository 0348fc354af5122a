"""Exports by another process, as on PyTorch, where Keras writes no SavedModels."""

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
    with pytest.raises(ValueError, match=r"Received: layer 'own' of class OfTheScr"):
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
