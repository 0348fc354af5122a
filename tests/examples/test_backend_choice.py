"""Keras chooses the backend of every example; --backend overrides its choice."""

import json
import os
import subprocess
import sys

import pytest

from tests.examples.running import EXAMPLES, run_process

# One runs on TensorFlow, without Keras, the other in a loop of PyTorch.
OTHERS = ("stream.py", "torch_loop.py")
SCRIPTS = sorted(path for path in EXAMPLES.glob("*.py") if path.name not in OTHERS)
REQUIRED = {"train_lra.py": ["--task", "listops"]}


@pytest.fixture(scope="module")
def asked_for(tmp_path_factory):
    """A function that runs a script up to the import of Keras, which reads a variable.

    It returns that variable's value, or "None".
    """
    folder = tmp_path_factory.mktemp("stub")
    (folder / "keras.py").write_text(
        "import os, sys\nprint(os.environ.get('KERAS_BACKEND'))\nsys.exit()\n"
    )

    def run(script, *arguments, backend=None):
        environment = {"KERAS_BACKEND": backend, "PYTHONPATH": str(folder)}
        arguments = [*REQUIRED.get(script.name, []), *arguments]
        process = run_process(script, *arguments, environment=environment)
        assert process.returncode == 0, process.stderr
        return process.stdout.strip()

    return run


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_choice_is_keras_s_unless_backend_is_given(script, asked_for):
    assert asked_for(script) == "None"
    assert asked_for(script, backend="tensorflow") == "tensorflow"
    assert asked_for(script, "--backend", "jax", backend="tensorflow") == "jax"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_other_backends_are_refused(script):
    process = run_process(script, *REQUIRED.get(script.name, []), "--backend", "numpy")
    assert process.returncode == 2
    assert "argument --backend: invalid choice: 'numpy'" in process.stderr


def test_the_first_line_names_the_backend_of_keras_json(tmp_path):
    # Without the file it would be TensorFlow.
    (tmp_path / "keras.json").write_text(json.dumps({"backend": "jax"}))
    environment = {**os.environ, "KERAS_HOME": str(tmp_path)}
    del environment["KERAS_BACKEND"]
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "quickstart.py", "--output-dir", tmp_path / "out"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout.readline() == "Backend: jax\n"
    process.kill()
    process.communicate()
