"""The search of the ring, from the command line."""

import csv
import dataclasses
import json

import keras
import keras_tuner
import pytest
import sklearn.datasets

from keras_lru.experiments import Preset
from tests.examples.running import EXAMPLES, run_here, run_process

SCRIPT = EXAMPLES / "tune_ring.py"


@pytest.fixture
def _few_digits(monkeypatch):
    """Whole batches of 50, few of them: nothing is compiled for what is left over."""
    pixels, labels = sklearn.datasets.load_digits(return_X_y=True)
    monkeypatch.setattr(
        sklearn.datasets,
        "load_digits",
        lambda return_X_y: (pixels[:250], labels[:250]),
    )


@pytest.mark.slow
@pytest.mark.usefixtures("_few_digits")
def test_searches_draws_and_goes_on(tmp_path, monkeypatch, backend, capsys):
    folder = tmp_path / "search"
    words = ["--task", "digits", "--epochs", 1, "--directory", folder]
    run_here(monkeypatch, SCRIPT, *words, "--trials", 1)
    assert capsys.readouterr().out.startswith(f"Backend: {backend}\n")
    names = {path.name for path in folder.iterdir()}
    assert names == {
        *("best.json", "eigenvalues.png", "ring.png", "trials.csv", "trials.json"),
        *("search.json", "tuner"),
    }
    trials = json.loads((folder / "trials.json").read_text())
    with open(folder / "trials.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["trial_id"] for row in rows] == [trial["trial_id"] for trial in trials]
    assert float(rows[0]["score"]) == trials[0]["score"]
    best = json.loads((folder / "best.json").read_text())
    assert best == trials[0]["settings"]
    # `train_lra.py --hyperparameters` puts them into a preset.
    assert set(best) <= {field.name for field in dataclasses.fields(Preset)}

    with pytest.raises(SystemExit, match="holds a search already: add --resume"):
        run_here(monkeypatch, SCRIPT, *words, "--trials", 2)
    capsys.readouterr()
    run_here(monkeypatch, SCRIPT, *words, "--trials", 2, "--resume")
    table = capsys.readouterr().out.split("accuracy")[-1]
    assert table.count("%") == 2
    again = json.loads((folder / "trials.json").read_text())
    assert trials[0] in again
    assert again[0]["score"] >= again[1]["score"]


@pytest.mark.slow
@pytest.mark.usefixtures("_few_digits")
def test_a_recurrence_without_a_ring_gets_a_table_and_no_pictures(
    tmp_path, monkeypatch, capsys
):
    words = ["--recurrence", "gru", "--epochs", 1, "--trials", 1]
    run_here(monkeypatch, SCRIPT, *words, "--directory", tmp_path)
    assert "No pictures: gru starts on no ring." in capsys.readouterr().out
    best = json.loads((tmp_path / "best.json").read_text())
    assert not {"r_max", "state_size"} & set(best)


@pytest.fixture
def resumed(tmp_path, monkeypatch):
    """Resumes a search of other settings in a folder, with these words."""

    def run(before, *words):
        (tmp_path / "tuner").mkdir()
        (tmp_path / "tuner" / "oracle.json").write_text("{}")
        made = {"task": "digits", "scale": "tiny", "tuner": "random", "epochs": 6}
        made |= {"executions": 1, "patience": None, "recurrence": "lru", "seed": 0}
        made |= {"backend": keras.backend.backend(), "also": [], **before}
        (tmp_path / "search.json").write_text(json.dumps(made))
        words = [*words, "--directory", tmp_path, "--resume"]
        run_here(monkeypatch, SCRIPT, *words)

    return run


def test_resuming_takes_no_other_settings(resumed):
    message = r"takes no other settings .*epochs: 1, not 2; also: \[\], not \['units'\]"
    with pytest.raises(SystemExit, match=message):
        resumed({"epochs": 1}, "--epochs", 2, "--also", "units", "--trials", 99)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--also", "state_size"], "--also state_size: gru does not read it"),
        (["--tuner", "grid"], "--tuner grid: gru reads no ring"),
    ],
)
def test_refuses_to_search_what_a_recurrence_does_not_read(
    tmp_path, monkeypatch, words, message
):
    words = [*words, "--recurrence", "gru", "--directory", tmp_path / "search"]
    with pytest.raises(SystemExit, match=message):
        run_here(monkeypatch, SCRIPT, *words)
    assert not (tmp_path / "search").exists()


def test_folders_of_the_home_are_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "search" / "tuner").mkdir(parents=True)
    (tmp_path / "search" / "tuner" / "oracle.json").write_text("{}")
    with pytest.raises(SystemExit, match=f"{tmp_path}/search holds a search already"):
        run_here(monkeypatch, SCRIPT, "--directory=~/search")


def test_the_grid_is_the_paper_s(tmp_path, monkeypatch):
    class Search:
        """Stands for KerasTuner's search, to see what would be searched."""

        def __init__(self, hypermodel, max_trials, **options):
            assert max_trials == 9
            self.hypermodel = hypermodel

        def search(self, **data):
            hp = keras_tuner.HyperParameters()
            self.hypermodel.build(hp)
            values = {choice.name: choice.values for choice in hp.space}
            searched.update({n: v for n, v in values.items() if len(v) > 1})
            raise KeyboardInterrupt

    searched = {}
    monkeypatch.setattr(keras_tuner, "GridSearch", Search)
    words = ["--tuner", "grid", "--trials", 9, "--directory", tmp_path]
    with pytest.raises(SystemExit, match="Interrupted"):
        run_here(monkeypatch, SCRIPT, *words)
    assert searched == {"r_min": [0.0, 0.5, 0.9], "r_max": [0.9, 0.99, 0.999]}


@pytest.mark.parametrize("flag", ["--trials", "--epochs", "--patience"])
def test_refuses_numbers_before_anything_is_imported(flag):
    process = run_process(SCRIPT, flag, 0)
    assert process.returncode == 2
    assert f"{flag} must be at least 1. Received: 0" in process.stderr
