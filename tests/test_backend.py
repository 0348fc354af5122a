"""Every backend has the same names; one without a module is refused."""

import ast
import importlib
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import backend
from keras_lru.backend import function_with_gradient

from .differentiate import gradients

FOLDER = pathlib.Path(backend.__file__).parent
MODULES = ("jax", "tensorflow", "torch", "inference")


def signatures(module):
    """`{name: arguments}` of the public functions, without importing the module."""
    tree = ast.parse((FOLDER / f"{module}.py").read_text())
    return {
        node.name: ast.dump(node.args)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    }


@pytest.mark.parametrize("module", MODULES[1:])
def test_backends_have_the_same_functions_with_the_same_arguments(module):
    assert signatures(module) == signatures(MODULES[0])


def test_all_of_them_are_offered():
    assert set(backend.__all__) == {*signatures(MODULES[0]), "forward_only"}
    assert all(hasattr(backend, name) for name in backend.__all__)


@pytest.mark.parametrize(
    "name", ["numpy", pytest.param("openvino", marks=pytest.mark.formats)]
)
def test_models_predict_where_nothing_trains(name):
    """Those of every kind that earlier versions stored, as they did then."""
    pytest.importorskip(name)
    tests = FOLDER.parents[1] / "tests" / "compatibility" / "test_stored_files.py"
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "predicts_the_same", tests],
        env={**os.environ, "KERAS_BACKEND": name},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout
    assert "skipped" not in process.stdout


def test_an_unknown_backend_is_refused_in_a_sentence():
    name = "mlx"
    code = (
        f"import keras; keras.backend.backend = lambda: {name!r}\n"
        "import keras_lru.layers"
    )
    process = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert process.returncode
    last = process.stderr.strip().splitlines()[-1]
    assert last.startswith("ImportError: keras_lru runs on Keras's backends 'jax', ")
    assert f"Received: backend={name!r}" in last


@pytest.mark.skipif(
    keras.backend.backend() not in ("jax", "torch"),
    reason="TensorFlow differentiates `forward` once more",
)
def test_second_derivatives_go_through_the_gradient_by_hand_too():
    # By hand it is the output: that of x² is x² then, and not 2x; so is the second.
    def forward(x):
        y = x * x
        return y, (y,)

    square = function_with_gradient(forward, lambda kept, dy: (dy * kept[0],))

    def slope(x):
        return ops.sum(gradients(lambda x: ops.sum(square(x)), x)[0])

    x = np.float32([3.0])
    np.testing.assert_allclose(ops.convert_to_numpy(gradients(slope, x)[0]), [9.0])


@pytest.mark.parametrize("on_gpu", [False, True])
@pytest.mark.parametrize("shapes", [((2, 5, 3), (3, 1)), ((2, 1, 5), (2, 5, 3))])
def test_the_exact_product_is_a_matrix_product(shapes, on_gpu, monkeypatch):
    module = importlib.import_module(f"keras_lru.backend.{keras.backend.backend()}")
    monkeypatch.setattr(module, "has_accelerator", lambda: on_gpu)
    rng = np.random.default_rng(0)
    x, y = (rng.normal(size=shape).astype("float32") for shape in shapes)
    found = module.exact_product(*map(keras.ops.convert_to_tensor, (x, y)))
    expected = x.astype("float64") @ y
    np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, rtol=1e-5)
