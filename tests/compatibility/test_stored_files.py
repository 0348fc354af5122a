"""Files that earlier versions saved load, predict the same, and train on."""

from pathlib import Path

import keras
import numpy as np
import pytest

import keras_lru  # noqa: F401

FILES = sorted(Path(__file__).parent.glob("*/*.keras"))


def stored(path):
    with np.load(path.with_suffix(".npz")) as arrays:
        inputs = [arrays[name] for name in arrays.files if name != "outputs"]
        return inputs if len(inputs) > 1 else inputs[0], arrays["outputs"]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_stored_model_predicts_the_same(path):
    inputs, outputs = stored(path)
    model = keras.models.load_model(path)
    # What float32 keeps of the largest numbers, whatever the backend; OpenVINO computes
    # in bfloat16 where the processor has it.
    kept = 3e-2 if keras.backend.backend() == "openvino" else 1e-6
    largest = max(1, np.abs(outputs).max())
    np.testing.assert_allclose(
        model.predict(inputs, verbose=0), outputs, rtol=0, atol=kept * largest
    )


@pytest.mark.parametrize(
    "path", [path for path in FILES if path.stem == "classifier"], ids=str
)
def test_a_stored_model_goes_on_training(path):
    inputs, _ = stored(path)
    model = keras.models.load_model(path)
    assert model.optimizer.recurrent_lr_factor == 0.25
    assert int(model.optimizer.iterations) == 2
    # Keras stores what "auto" was where it was saved; torch.compile takes minutes.
    model.jit_compile = model.jit_compile and keras.backend.backend() != "torch"
    before = model.evaluate(inputs, np.array([0, 2]), verbose=0)
    model.fit(inputs, np.array([0, 2]), epochs=3, verbose=0)
    assert model.evaluate(inputs, np.array([0, 2]), verbose=0) < before
