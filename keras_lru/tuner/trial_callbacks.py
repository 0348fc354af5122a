"""The callbacks of a trial: those it cannot have, and where they log."""

from pathlib import Path

import keras
from keras_tuner.errors import FatalValueError

_SET_THE_RATE = (
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.LearningRateScheduler,
)


def check_callbacks(callbacks):
    """Refuses callbacks that set the learning rate, which follows a schedule.

    Args:
        callbacks: A list of callbacks.

    Raises:
        FatalValueError: If there is one.
    """
    for callback in callbacks:
        if isinstance(callback, _SET_THE_RATE):
            raise FatalValueError(
                "`callbacks` must not set the learning rate: that of a trial follows "
                "warmup and cosine decay over its batches. Received: "
                f"callbacks with a {type(callback).__name__}"
            )


def separate_logs(callbacks, trial_id, execution):
    """Gives each trial's logs a folder of their own, `log_dir/trial/execution`.

    KerasTuner does so for TensorBoard's callback, on TensorFlow alone.

    Args:
        callbacks: A list of callbacks, copies for this execution. Those with a
            `log_dir` are changed.
        trial_id: The trial's name.
        execution: Number of the execution.
    """
    for callback in callbacks:
        log_dir = getattr(callback, "log_dir", None)
        if log_dir is not None and Path(log_dir).parent.name != trial_id:
            path = Path(log_dir) / trial_id / f"execution{execution}"
            callback.log_dir = str(path)
