"""Every backend has the same names; one without a module is refused."""

import ast
import os
import pathlib
import subprocess
import sys

import pytest

from keras_lru import backend

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


def test_models_predict_on_numpy():
    """Those of every kind that earlier versions stored, as they did then."""
    tests = FOLDER.parents[1] / "tests" / "compatibility" / "test_stored_files.py"
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-k", "predicts_the_same", tests],
        env={**os.environ, "KERAS_BACKEND": "numpy"},
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
