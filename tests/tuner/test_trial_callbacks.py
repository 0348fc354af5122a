"""Callbacks of a search: where they log, and which cannot be."""

import keras
import keras_tuner
import pytest
from keras_tuner.errors import FatalValueError

from .searches import hypermodel, search


class Logger(keras.callbacks.Callback):
    """Keeps where it would log.

    Args:
        log_dir: Where it is told to.
        seen: A set; of the copies too.
    """

    def __init__(self, log_dir, seen):
        super().__init__()
        self.log_dir = log_dir
        self.seen = seen

    def __deepcopy__(self, memo):
        return type(self)(self.log_dir, self.seen)

    def on_train_begin(self, logs=None):
        self.seen.add(self.log_dir)


# KerasTuner knows TensorBoard's callback by this name.
TensorBoard = type("TensorBoard", (Logger,), {})


def make_tuner(directory, **kwargs):
    return keras_tuner.RandomSearch(
        hypermodel(), "val_loss", directory=directory, seed=1, **kwargs
    )


def test_each_execution_logs_into_its_own_folder(tmp_path):
    kinds = {"board": TensorBoard, "other": Logger}
    callbacks = [kind(str(tmp_path / name), set()) for name, kind in kinds.items()]
    tuner = make_tuner(tmp_path / "search", max_trials=2, executions_per_trial=2)
    search(tuner, callbacks=callbacks)
    for name, callback in zip(kinds, callbacks, strict=True):
        assert callback.seen == {
            str(tmp_path / name / trial / execution)
            for trial in ("0", "1")
            for execution in ("execution0", "execution1")
        }


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.ReduceLROnPlateau(),
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate),
    ],
    ids=lambda callback: type(callback).__name__,
)
def test_refuses_callbacks_that_set_the_learning_rate(tmp_path, callback):
    name = type(callback).__name__
    message = rf"`callbacks` must not set the learning rate.*callbacks with a {name}"
    with pytest.raises(FatalValueError, match=message):
        search(make_tuner(tmp_path, max_trials=2), callbacks=[callback])
