"""What the tests of searches share: little data, a small model, and a search.

Run as a script, it searches in a process of its own.
"""

import argparse
import time
import types
from pathlib import Path

import keras
import keras_tuner
import numpy as np
from keras_tuner.src.distribute import oracle_chief

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


def searched(hp):
    """The hyperparameters that are searched."""
    return [entry for entry in hp.space if len(list(entry.values)) != 1]


def search(tuner, **kwargs):
    """The table of a search on the little data."""
    data = {"x": X, "y": Y, "validation_data": (X, Y), "verbose": 0}
    tuner.search(**{**data, **kwargs})
    return trial_table(tuner)


class Pause(keras.callbacks.Callback):
    """After some epochs, in all trials together, says so and waits.

    Args:
        epochs: How many.
        gate: The file to wait for.
    """

    passed = 0

    def __init__(self, epochs, gate):
        super().__init__()
        self.epochs = epochs
        self.gate = gate

    def on_epoch_end(self, epoch, logs=None):
        Pause.passed += 1
        if Pause.passed >= self.epochs and not self.gate.exists():
            print("waiting", flush=True)
            while not self.gate.exists():
                time.sleep(0.05)


def random_search(directory):
    return keras_tuner.RandomSearch(
        hypermodel(), "val_loss", max_trials=4, directory=directory, seed=1
    )


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("epochs", type=int)
    parser.add_argument("gate", type=Path)
    arguments = parser.parse_args()
    # A chief looks whether its workers are done every 20 s, far longer than they take.
    oracle_chief.time = types.SimpleNamespace(sleep=lambda _: time.sleep(0.1))
    pause = Pause(arguments.epochs, arguments.gate)
    search(random_search(arguments.directory), epochs=3, callbacks=[pause])
    print("done", flush=True)


if __name__ == "__main__":
    main()
