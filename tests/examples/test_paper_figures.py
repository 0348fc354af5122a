"""The paper's figures: the quick ones drawn, and what they must show checked."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "paper_figures.py"


def python(*arguments):
    command = [sys.executable, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.slow
def test_draws_and_checks_the_quick_figures(tmp_path, backend):
    figures = ("2", "3", "4")
    arguments = ["--backend", backend, "--output-dir", tmp_path]
    process = python(SCRIPT, *arguments, "--figures", *figures)
    assert process.returncode == 0, process.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"figure-{number}.png" for number in figures
    ]
    for path in tmp_path.iterdir():
        assert path.read_bytes().startswith(b"\x89PNG")
    # Three matrices, three rings, two kernels and the count of their oscillations.
    assert process.stdout.count("(limit ") == 9


WRONG = """
import runpy, sys
import numpy as np
sys.argv = sys.argv[1:]
# Uniform in the radius: far too many eigenvalues in the middle of the disc.
np.linalg.eigvals = lambda matrix: np.linspace(0, 1, len(matrix))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.slow
def test_a_number_that_is_wrong_is_an_error(tmp_path, backend):
    arguments = ["--figures", "2", "--backend", backend, "--output-dir", tmp_path]
    process = python("-c", WRONG, SCRIPT, *arguments)
    assert process.returncode == 1
    assert "This is not what the paper says: N = 50" in process.stderr
    assert not (tmp_path / "figure-2.png").exists()


def test_bad_arguments_are_refused_before_work_starts(tmp_path):
    process = python(SCRIPT, "--figures", "5", "--output-dir", tmp_path / "out")
    assert process.returncode == 2
    assert "invalid choice: '5'" in process.stderr
    process = python(SCRIPT, "--seed", "-1", "--output-dir", tmp_path / "out")
    assert process.returncode == 2
    assert "--seed must be at least 0. Received: -1" in process.stderr
    assert not (tmp_path / "out").exists()
