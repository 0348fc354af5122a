"""Trains a small model in as many processes as there are; prints what it has logged.

    python -m tests.training.shared_training CHECKPOINT EPOCHS [KILLED_EPOCH]

At the start of KILLED_EPOCH the last process kills itself.
"""

import json
import os
import signal
import sys

import keras
import numpy as np
import tensorflow as tf

from keras_lru import SequenceClassifier
from keras_lru.training import (
    TrainingCheckpoint,
    compile_recommended,
    data_parallel,
    join_processes,
)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6, 2)).astype("float32")
Y = (X.sum((1, 2)) > 0).astype("int32")


def main(path, epochs, killed=None):
    with join_processes(timeout=10) as processes, data_parallel() as devices:
        assert devices == processes.count
        # Keras draws a seed, of which all have to know.
        keras.Sequential([keras.Input((2,)), keras.layers.Dense(3)])
        keras.utils.set_random_seed(0)
        # The others have no such folder.
        checkpoint = TrainingCheckpoint(path if processes.is_first else "/no/x.npz")

        def on_epoch_begin(epoch, logs):
            if epoch == killed and processes.id == processes.count - 1:
                os.kill(os.getpid(), signal.SIGKILL)

        batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
        model = SequenceClassifier(2, depth=1, units=4, state_size=4, dropout=0.1)
        compile_recommended(model, total_steps=16, learning_rate=0.01)
        history = model.fit(
            batches,
            validation_data=batches.take(2),
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[
                keras.callbacks.LambdaCallback(on_epoch_begin=on_epoch_begin),
                checkpoint,
            ],
        )
        tested = model.evaluate(batches, verbose=0, return_dict=True)
        print(json.dumps({**history.history, "tested": tested}))


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
