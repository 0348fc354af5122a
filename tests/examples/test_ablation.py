"""The ladder of recurrences, from the command line."""

import json

import pytest

from tests.examples.running import EXAMPLES, run_here, run_process

SCRIPT = EXAMPLES / "ablation.py"


@pytest.mark.slow
def test_trains_rows_without_a_result_and_tells_all_apart(
    tmp_path, monkeypatch, capfd, backend
):
    folder = tmp_path / "ablation"
    # What train_lra.py left of a row that an earlier command finished.
    earlier = {"test_accuracy": 0.25, "training_seconds": 2.0, "parameters": 1234}
    (folder / "rnn_tanh-0").mkdir(parents=True)
    (folder / "rnn_tanh-0" / "result.json").write_text(json.dumps(earlier))
    words = ["--task", "listops", "--steps", 4, "--seeds", 1]
    words += ["--data-dir", tmp_path / "data", "--directory", folder]
    words += ["--rows", "rnn_tanh", "real_imag"]
    words += ["--set", "config=tiny", "depth=1", "units=8", "batch_size=50"]
    run_here(monkeypatch, SCRIPT, *words)
    printed = capfd.readouterr().out
    # This script's line, and that of the one run that it starts.
    assert printed.startswith(f"Backend: {backend}\n")
    assert printed.count(f"Backend: {backend}\n") == 2

    summary = json.loads((folder / "ablation.json").read_text())
    assert list(summary) == ["rnn_tanh", "real_imag"]
    assert summary["rnn_tanh"]["accuracies"] == [25.0]
    result = json.loads((folder / "real_imag-0" / "result.json").read_text())
    assert result["run"]["recurrence"] == "real_imag"
    assert (result["run"]["depth"], result["run"]["steps"]) == (1, 4)
    # The whole disc, where the preset has a ring.
    assert (result["run"]["r_min"], result["run"]["r_max"]) == (0.0, 1.0)
    assert summary["real_imag"]["accuracies"] == [100 * result["test_accuracy"]]
    table = (folder / "ablation.md").read_text()
    # The paper's ListOps, beside ours.
    assert "| RNN-tanh | 25.0 ± 0.0 | 43.9 | 1,234 | 2 |" in table
    assert (folder / "ablation.png").read_bytes().startswith(b"\x89PNG")

    run_here(monkeypatch, SCRIPT, *words)
    assert "Epoch" not in capfd.readouterr().out


def test_refuses_numbers_before_anything_runs(tmp_path):
    process = run_process(SCRIPT, "--seeds", 0, "--directory", tmp_path / "ablation")
    assert process.returncode == 2
    assert "--seeds must be at least 1. Received: 0" in process.stderr
    assert not (tmp_path / "ablation").exists()
