"""What the tests of searches share: little data, a small model, and a search.

Run as a script, it searches in a process of its own.
"""

import argparse
import os
import time

import keras
import keras_tuner
import numpy as np

from keras_lru.tuner import LRUHyperModel, trial_table

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = X[:, :1]


def dense(r_min=0.0, r_max=1.0, max_phase=1.0, seed=None):
    """A model of one layer, which takes the ring that it does not have."""
    return keras.Sequential(
        [
            keras.Input((3,)),
            keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotUniform(seed)
            ),
        ]
    )


def hypermodel(**kwargs):
    """A search space that trains in no time."""
    eagerly = {"run_eagerly": True}
    arguments = {"model": dense, "batch_size": 4, "seed": 0, "compile_options": eagerly}
    return LRUHyperModel(**{**arguments, **kwargs})


def search(tuner, **kwargs):
    """The table of a search on the little data."""
    data = {"x": X, "y": Y, "validation_data": (X, Y), "verbose": 0}
    tuner.search(**{**data, **kwargs})
    return trial_table(tuner)


class SlowEpochs(keras.callbacks.Callback):
    """Leaves time to be killed in, and says when."""

    def on_epoch_end(self, epoch, logs=None):
        print(f"epoch {epoch}", flush=True)
        time.sleep(0.3)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--directory", required=True)
    parser.add_argument("--trials", type=int, default=4)
    arguments = parser.parse_args()
    tuner = keras_tuner.RandomSearch(
        hypermodel(),
        "val_loss",
        max_trials=arguments.trials,
        directory=arguments.directory,
        seed=1,
    )
    tuner.search(
        X,
        Y,
        validation_data=(X, Y),
        epochs=3,
        callbacks=[SlowEpochs()],
        verbose=0,
    )
    print("done", os.environ.get("KERASTUNER_TUNER_ID", "alone"), flush=True)


if __name__ == "__main__":
    main()
