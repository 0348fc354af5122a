"""The main job, run as a user runs it."""

import re

import pytest

from tests.examples.running import EXAMPLES, run_process

SCRIPT = EXAMPLES / "quickstart.py"


@pytest.mark.slow
def test_trains_draws_exports_and_reloads(tmp_path, backend):
    # As its users run it: other tests compile more than they run.
    environment = {"KERAS_BACKEND": backend, "XLA_FLAGS": ""}
    process = run_process(SCRIPT, "--output-dir", tmp_path, environment=environment)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"Backend: {backend}\n")
    assert float(re.search(r"Test accuracy: ([\d.]+) %", process.stdout)[1]) >= 98
    difference = re.search(r"largest difference ([\d.e+-]+)", process.stdout)[1]
    # Two compilations of one float32 model.
    assert float(difference) < 1e-4
    assert (tmp_path / "quickstart.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "model.keras").exists()
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()


def test_bad_arguments_are_refused_before_work_starts(tmp_path):
    process = run_process(SCRIPT, "--epochs", 0, "--output-dir", tmp_path / "out")
    assert process.returncode == 2
    assert "--epochs must be at least 1. Received: 0" in process.stderr
    assert not (tmp_path / "out").exists()
