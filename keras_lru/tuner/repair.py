"""Searches whose files were cut off, by a full disk say."""

import json
import os
import shutil
from pathlib import Path

import keras_tuner

from keras_lru.tuner.made_with import write_whole

_ORACLE = "oracle.json"
_TRIAL = "trial.json"
# Of KerasTuner's file, as it was when the last trial started.
_COPY = ".before"


def keep_copies(project_dir, trial_dir):
    """Keeps copies of a search's files, from which `repair_search` restores them.

    Args:
        project_dir: The project's folder.
        trial_dir: The folder of the trial that starts.
    """
    for path in (Path(project_dir) / _ORACLE, Path(trial_dir) / _TRIAL):
        if (state := _read(path)) is not None:
            write_whole(_copy_of(path), json.dumps(state))


def repair_search(project_dir: str | os.PathLike) -> list[str]:
    """Repairs a search whose files were cut off, so that it can go on.

    KerasTuner writes its files in place: one that was being written when the disk was
    full, or the machine went down, is empty, and the tuner cannot be made any more. To
    be called before that, while no process searches.

    Trials of an `LRUHyperModel` are restored from a copy that was kept when they
    started: they run again, with the hyperparameters that they had. Of others only the
    name is known: they are marked as failed. All other trials stay as they are.

    Args:
        project_dir: The project's folder, the tuner's `directory/project_name`.

    Returns:
        The ids of the trials that were not whole, sorted.

    Raises:
        ValueError: If the file of the whole search was cut off, and there is no copy.

    Example:
        >>> import tempfile
        >>> from keras_lru.tuner import repair_search
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     repair_search(folder)
        []
    """
    folder = Path(project_dir)
    path = folder / _ORACLE
    if not path.exists():
        return []
    oracle = _read(path)
    if oracle is None:
        oracle = _read(_copy_of(path))
        if oracle is None:
            raise ValueError(
                f"{path} was not written whole, and there is no copy of it: the search "
                "cannot go on. Choose another folder."
            )
    for state in folder.glob("*.json"):
        # A tuner has no state of its own.
        if state != path and _read(state) is None:
            write_whole(state, "{}")
    known = set(oracle["start_order"])
    for trial in folder.glob("trial_*"):
        if trial.name.removeprefix("trial_") not in known:
            # It had not started: it is drawn anew.
            shutil.rmtree(trial)
    broken = sorted(name for name in known if _read(_trial_file(folder, name)) is None)
    _end_finished(folder, oracle)
    for name in broken:
        _restore(_trial_file(folder, name), name, oracle)
    write_whole(path, json.dumps(oracle))
    return broken


def _end_finished(folder, oracle):
    """Notes which trials ended after the copy of the state was made."""
    for tuner_id, name in list(oracle["ongoing_trials"].items()):
        state = _read(_trial_file(folder, name))
        if state is not None and state["status"] in ("COMPLETED", "FAILED"):
            del oracle["ongoing_trials"][tuner_id]
            oracle["end_order"] = [*oracle["end_order"], name]


def _restore(path, name, oracle):
    """Writes the file of a trial, and notes in the state of the search what it is."""
    state = _read(_copy_of(path))
    path.parent.mkdir(exist_ok=True)
    if state is None:
        hp = keras_tuner.HyperParameters.from_config(oracle["hyperparameters"])
        hp.ensure_active_values()
        state = {
            "trial_id": name,
            "hyperparameters": hp.get_config(),
            "metrics": {"metrics": {}},
            "score": None,
            "best_step": 0,
            "status": "FAILED",
            "message": f"{path} was not written whole.",
        }
    elif name not in (*oracle["ongoing_trials"].values(), *oracle["retry_queue"]):
        oracle["end_order"] = [other for other in oracle["end_order"] if other != name]
        oracle["retry_queue"] = [*oracle["retry_queue"], name]
    write_whole(path, json.dumps(state))


def _trial_file(folder, name):
    return folder / f"trial_{name}" / _TRIAL


def _copy_of(path):
    return path.with_name(path.name + _COPY)


def _read(path):
    """What a JSON file holds; `None` if it is not there or not whole."""
    try:
        return json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None
