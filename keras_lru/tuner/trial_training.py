"""The training of one trial."""

import errno

import keras
import numpy as np
from keras_tuner.errors import FailedTrialError, FatalRuntimeError

from keras_lru.backend import drop_compiled_programs
from keras_lru.tuner.trial_schedule import TrialSchedule


def train_trial(
    model, *, learning_rate, warmup_fraction, patience, seed, callbacks, **arguments
):
    """Trains a model on warmup and cosine decay over all batches of its trial.

    Args:
        model: The compiled model.
        learning_rate: The highest rate.
        warmup_fraction: The part of the batches spent on the warmup.
        patience: Epochs without a better loss after which training stops, or `None`.
        seed: What to seed all global generators with, or `None`.
        callbacks: Callbacks that come after those of the trial.
        **arguments: Other arguments of `keras.Model.fit`, `epochs` and `initial_epoch`
            among them.

    Returns:
        The history of `keras.Model.fit`.

    Raises:
        FailedTrialError: If something logged is not finite.
        FatalRuntimeError: If the disk is full, which ends the search.
    """
    initial_epoch = arguments["initial_epoch"]
    # A model that KerasTuner could not build has lost the earlier trial's state.
    epochs_done = initial_epoch if model.optimizer.built else 0
    schedule = TrialSchedule(
        learning_rate,
        warmup_fraction,
        epochs_done,
        arguments["epochs"] - initial_epoch + epochs_done,
    )
    callbacks = [schedule, keras.callbacks.TerminateOnNaN(), *callbacks]
    if patience is not None:
        validates = arguments.get("validation_split") or "validation_data" in arguments
        monitor = "val_loss" if validates else "loss"
        callbacks.append(keras.callbacks.EarlyStopping(monitor, patience=patience))
    if seed is not None:
        keras.utils.set_random_seed(seed)
    # The schedule is part of a program compiled before.
    model.train_function = None
    with drop_compiled_programs():
        try:
            history = model.fit(callbacks=callbacks, **arguments)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            # Else KerasTuner would count the trials as failed, one after the other.
            raise FatalRuntimeError(
                f"The disk is full: {error}. Make room; then the search goes on with "
                "this trial, after keras_lru.tuner.repair_search."
            ) from error
    for name, values in history.history.items():
        if not np.all(np.isfinite(values)):
            raise FailedTrialError(f"Training diverged: {name}={values}")
    return history
