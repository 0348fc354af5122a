"""The learning rate of a trial, over all batches that the trial will see."""

import keras
from keras_tuner.errors import FatalValueError

from keras_lru.training import warmup_cosine


class TrialSchedule(keras.callbacks.Callback):
    """Sets warmup and cosine decay when `fit` knows how many batches there are.

    Args:
        learning_rate: The highest rate.
        warmup_fraction: The part of the batches spent on the warmup.
        epochs_done: Epochs that this optimizer has behind it, in an earlier trial that
            this one goes on from.
        epochs: Epochs at the end of this trial, those included.
    """

    def __init__(self, learning_rate, warmup_fraction, epochs_done, epochs):
        super().__init__()
        self.learning_rate = learning_rate
        self.warmup_fraction = warmup_fraction
        self.epochs_done = epochs_done
        self.epochs = epochs

    def on_train_begin(self, logs=None):
        """Replaces the schedule, and moves to the first batch's place in it."""
        steps = self.params["steps"]
        if steps is None:
            raise FatalValueError(
                "`steps_per_epoch` must be passed to `search`, as the number of "
                "batches in `x` is not known. Received: steps_per_epoch=None"
            )
        optimizer = self.model.optimizer
        optimizer.learning_rate = warmup_cosine(
            self.learning_rate, steps * self.epochs, self.warmup_fraction
        )
        optimizer.iterations.assign(steps * self.epochs_done)
