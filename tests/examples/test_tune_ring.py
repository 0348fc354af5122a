"""The search of the ring, from the command line."""

import csv
import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest

from keras_lru.experiments import Preset
from tests.examples.running import run_here

SCRIPT = Path(__file__).parents[2] / "examples" / "tune_ring.py"


@pytest.mark.slow
def test_searches_draws_and_goes_on(tmp_path, monkeypatch, backend, capsys):
    folder = tmp_path / "search"
    words = ["--task", "digits", "--epochs", 1, "--backend", backend]
    words += ["--directory", folder]
    run_here(monkeypatch, SCRIPT, *words, "--trials", 2)
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("best.json", "eigenvalues.png", "ring.png", "trials.csv", "trials.json"),
        "tuner",
    }
    trials = json.loads((folder / "trials.json").read_text())
    with open(folder / "trials.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial_id"] for row in rows] == [trial["trial_id"] for trial in trials]
    assert float(rows[0]["score"]) == trials[0]["score"] >= trials[1]["score"]
    best = json.loads((folder / "best.json").read_text())
    assert best == trials[0]["settings"]
    # `train_lra.py --hyperparameters` puts them into a preset.
    assert set(best) <= {field.name for field in dataclasses.fields(Preset)}

    with pytest.raises(SystemExit, match="holds a search already: add --resume"):
        run_here(monkeypatch, SCRIPT, *words, "--trials", 3)
    capsys.readouterr()
    run_here(monkeypatch, SCRIPT, *words, "--trials", 3, "--resume")
    table = capsys.readouterr().out.split("accuracy")[-1]
    assert table.count("%") == 3
    again = json.loads((folder / "trials.json").read_text())
    assert all(trial in again for trial in trials)


@pytest.mark.slow
def test_the_grid_is_the_paper_s(tmp_path, monkeypatch, backend):
    words = ["--epochs", 1, "--backend", backend, "--directory", tmp_path]
    run_here(monkeypatch, SCRIPT, *words, "--tuner", "grid", "--trials", 2)
    for trial in json.loads((tmp_path / "trials.json").read_text()):
        settings = trial["settings"]
        assert settings["r_min"] in (0.0, 0.5, 0.9)
        assert settings["r_max"] in (0.9, 0.99, 0.999)


@pytest.mark.parametrize("flag", ["--trials", "--epochs", "--patience"])
def test_refuses_numbers_before_anything_is_imported(flag):
    command = [sys.executable, SCRIPT, flag, "0"]
    process = subprocess.run(command, capture_output=True, text=True)
    assert process.returncode == 2
    assert f"{flag} must be at least 1. Received: 0" in process.stderr
