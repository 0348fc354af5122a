"""The results of a search as a table."""

from collections.abc import Callable
from pathlib import Path

import keras_tuner
from keras_tuner.engine.trial import Trial, TrialStatus

from keras_lru.tuner.made_with import RECORD


def trial_table(
    tuner: keras_tuner.Tuner,
    resolve: Callable[[keras_tuner.HyperParameters], dict] | None = None,
) -> list[dict]:
    """The trials of a search, the best first, and those without a score last.

    It reads the project's folder, so that workers and chief of a distributed search
    see the same, if they share that folder, and so does a later process, that makes
    the tuner with `overwrite=False` and does not search.

    Args:
        tuner: A `keras_tuner.Tuner`.
        resolve: Function from a trial's hyperparameters to a dictionary of what they
            stand for. Defaults to the `resolve` of an `LRUHyperModel`; for hypermodels
            of one's own `ring_hyperparameters`, say.

    Returns:
        A list of dictionaries ready for JSON: `trial_id`; `status`, which is
        `"COMPLETED"`, `"FAILED"`, `"INVALID"` or `"RUNNING"` (or was so when the search
        was killed); `score` (`None` without one); `hyperparameters`, KerasTuner's
        values; `settings`, what they stand for, `r_min`, `r_max` and `max_phase`
        among them; `message`, the error of a trial that failed.

    Raises:
        ValueError: If the trials were made by an `LRUHyperModel` with other settings,
            or the file of one was cut off.

    Example:
        >>> import tempfile
        >>> import keras_tuner
        >>> from keras_lru.tuner import ring_hyperparameters, trial_table
        >>> class Tuner(keras_tuner.RandomSearch):
        ...     def run_trial(self, trial, **kwargs):
        ...         return ring_hyperparameters(trial.hyperparameters)["r_max"]
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     tuner = Tuner(max_trials=3, directory=folder, seed=1)
        ...     tuner.search(verbose=0)
        ...     table = trial_table(tuner, ring_hyperparameters)
        >>> sorted(table[0]["settings"]), table[0]["score"] <= table[1]["score"]
        (['max_phase', 'r_max', 'r_min'], True)
    """
    if resolve is None:
        resolve = getattr(tuner.hypermodel, "resolve", None) or (lambda hp: {})
    trials = [_load(path) for path in _trial_files(tuner)]
    sign = -1 if tuner.oracle.objective.direction == "max" else 1

    def order(trial):
        completed = trial.status == TrialStatus.COMPLETED
        return (not completed, sign * trial.score if completed else 0, trial.trial_id)

    return [
        {
            "trial_id": trial.trial_id,
            "status": trial.status,
            "score": trial.score,
            "hyperparameters": _searched(trial.hyperparameters.values),
            "settings": resolve(trial.hyperparameters.copy()),
            "message": trial.message,
        }
        for trial in sorted(trials, key=order)
    ]


def _searched(values):
    return {name: value for name, value in values.items() if name != RECORD}


def _load(path):
    try:
        return Trial.load(path)
    except ValueError as error:
        raise ValueError(
            f"{path} was not written whole: call "
            "keras_lru.tuner.repair_search before the tuner is made."
        ) from error


def _trial_files(tuner):
    return [str(path) for path in Path(tuner.project_dir).glob("trial_*/trial.json")]
