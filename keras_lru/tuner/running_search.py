"""The search that a trial is part of."""

from typing import Any, NamedTuple

import keras_tuner


class RunningSearch(NamedTuple):
    """A tuner and the trial that it runs."""

    tuner: keras_tuner.Tuner
    trial: Any


def find_search(callbacks) -> RunningSearch | None:
    """The search that KerasTuner's own callback comes from.

    Args:
        callbacks: The callbacks that KerasTuner passes to a hypermodel's `fit`.

    Returns:
        A `RunningSearch`, or `None` outside of a tuner's `search`.
    """
    for callback in callbacks:
        tuner = getattr(callback, "tuner", None)
        if isinstance(tuner, keras_tuner.Tuner):
            return RunningSearch(tuner, callback.trial)
    return None
