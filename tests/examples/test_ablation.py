"""The ladder of recurrences, from the command line."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "examples" / "ablation.py"


def run(*arguments):
    return subprocess.run(
        [sys.executable, SCRIPT, *map(str, arguments)], capture_output=True, text=True
    )


@pytest.mark.slow
def test_trains_each_row_once_and_tells_them_apart(tmp_path, backend):
    words = ["--task", "listops", "--steps", 4, "--backend", backend, "--seeds", 1]
    words += ["--data-dir", tmp_path / "data", "--directory", tmp_path / "ablation"]
    words += ["--rows", "rnn_tanh", "real_imag", "--set", "config=tiny", "units=8"]
    process = run(*words)
    assert process.returncode == 0, process.stderr
    folder = tmp_path / "ablation"
    summary = json.loads((folder / "ablation.json").read_text())
    assert list(summary) == ["rnn_tanh", "real_imag"]
    result = json.loads((folder / "real_imag-0" / "result.json").read_text())
    assert result["run"]["recurrence"] == "real_imag"
    # The whole disc, where the preset has a ring.
    assert (result["run"]["r_min"], result["run"]["r_max"]) == (0.0, 1.0)
    assert summary["real_imag"]["accuracies"] == [100 * result["test_accuracy"]]
    table = (folder / "ablation.md").read_text()
    # The paper's ListOps, beside ours.
    assert "| RNN-tanh |" in table
    assert "| 43.9 |" in table
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")

    again = run(*words)
    assert again.returncode == 0, again.stderr
    assert "Epoch" not in again.stdout


def test_refuses_numbers_before_anything_runs(tmp_path):
    process = run("--seeds", 0, "--directory", tmp_path / "ablation")
    assert process.returncode == 2
    assert "--seeds must be at least 1. Received: 0" in process.stderr
    assert not (tmp_path / "ablation").exists()
