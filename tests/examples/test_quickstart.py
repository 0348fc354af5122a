"""The main job, run as a user runs it."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "quickstart.py"


def _run(*arguments):
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def _check(process, output_dir):
    assert process.returncode == 0, process.stderr
    picture = output_dir / "quickstart.png"
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert (output_dir / "model.keras").exists()
    assert (output_dir / "saved_model" / "saved_model.pb").exists()
    return float(re.search(r"Test accuracy: ([\d.]+) %", process.stdout)[1])


@pytest.mark.slow
def test_one_epoch_goes_all_the_way(tmp_path, backend):
    process = _run("--backend", backend, "--epochs", 1, "--output-dir", tmp_path)
    # Ten classes: one epoch must at least beat chance.
    assert _check(process, tmp_path) > 15
    difference = re.search(r"largest difference ([\d.e+-]+)", process.stdout)[1]
    # Two compilations of one float32 model.
    assert float(difference) < 1e-4


@pytest.mark.slow
def test_defaults_reach_98_percent(tmp_path, backend):
    assert _check(_run("--backend", backend, "--output-dir", tmp_path), tmp_path) >= 98


def test_bad_arguments_are_refused_before_work_starts(tmp_path):
    process = _run("--epochs", 0, "--output-dir", tmp_path / "out")
    assert process.returncode == 2
    assert "--epochs must be at least 1. Received: 0" in process.stderr
    assert not (tmp_path / "out").exists()
