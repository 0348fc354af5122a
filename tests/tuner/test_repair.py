"""Searches whose files were cut off go on."""

import errno
import json
import shutil

import keras
import keras_tuner
import pytest
from keras_tuner.errors import FatalRuntimeError

from keras_lru.tuner import repair_search, trial_table

from .searches import hypermodel, search


def make_tuner(folder, max_trials=2):
    return keras_tuner.RandomSearch(
        hypermodel(), "val_loss", max_trials=max_trials, directory=folder, seed=1
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The folder and the table of a search of two trials."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, search(make_tuner(folder))


@pytest.fixture
def folder(finished, tmp_path):
    """A copy of that folder, and the project in it."""
    shutil.copytree(finished[0], tmp_path / "search")
    return tmp_path / "search"


def project(folder):
    return folder / "untitled_project"


class Count(keras.callbacks.Callback):
    """Counts the trials that are trained, or fails in each."""

    def __init__(self, error=None):
        super().__init__()
        self.trials = 0
        self.error = error

    def __deepcopy__(self, memo):
        return self

    def on_train_begin(self, logs=None):
        self.trials += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("length", [0, 20])
def test_a_trial_whose_file_was_cut_off_runs_again_alone(folder, finished, length):
    path = project(folder) / "trial_0" / "trial.json"
    path.write_text(path.read_text()[:length])
    assert repair_search(project(folder)) == ["0"]
    count = Count()
    table = search(make_tuner(folder), callbacks=[count])
    assert count.trials == 1
    assert table == finished[1]
    assert repair_search(project(folder)) == []


def test_the_state_of_the_search_is_restored(folder, finished):
    (project(folder) / "oracle.json").write_text("")
    (project(folder) / "tuner0.json").write_text("")
    assert repair_search(project(folder)) == []
    count = Count()
    assert search(make_tuner(folder), callbacks=[count]) == finished[1]
    assert count.trials == 0


def test_a_trial_without_a_copy_is_marked_as_failed(folder, finished):
    for path in (project(folder) / "trial_0").glob("trial.json*"):
        path.unlink()
    repair_search(project(folder))
    table = {row["trial_id"]: row for row in search(make_tuner(folder))}
    assert table["0"]["status"] == "FAILED"
    assert "trial_0/trial.json was not written whole" in table["0"]["message"]
    assert table["1"] in finished[1]


def test_a_trial_that_had_not_started_is_drawn_anew(folder, finished):
    tuner = make_tuner(folder, max_trials=3)
    trial = project(folder) / "trial_2" / "trial.json"
    trial.parent.mkdir()
    trial.write_text("")
    with pytest.raises(ValueError, match=r"trial_2/trial.json was not .*repair_search"):
        trial_table(tuner)
    repair_search(project(folder))
    assert not trial.exists()
    assert len(search(make_tuner(folder, max_trials=3))) == 3


def test_a_search_without_a_copy_is_named(tmp_path):
    (tmp_path / "oracle.json").write_text("")
    with pytest.raises(ValueError, match=r"oracle.json was not written whole"):
        repair_search(tmp_path)


def test_a_full_disk_ends_the_search_and_not_the_trial(tmp_path):
    full = OSError(errno.ENOSPC, "No space left on device")
    with pytest.raises(FatalRuntimeError, match="The disk is full"):
        search(make_tuner(tmp_path, max_trials=1), callbacks=[Count(full)])
    (state,) = project(tmp_path).glob("trial_*/trial.json")
    assert json.loads(state.read_text())["status"] == "RUNNING"
    (row,) = search(make_tuner(tmp_path, max_trials=1))
    assert (row["trial_id"], row["status"]) == ("0", "COMPLETED")
