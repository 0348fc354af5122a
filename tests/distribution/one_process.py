"""One of two processes that train a model, of time split over both: see the tests.

`python one_process.py PROCESS PORT`; process -1 trains alone, on whole sequences. The
last line is the losses.
"""

import contextlib
import json
import sys

import keras
import numpy as np

from keras_lru import SequenceClassifier
from keras_lru.distribution import sequence_parallel


def scope_of(process, port):
    """The scope in which it trains, and its part of time."""
    if process < 0:
        return contextlib.nullcontext(), slice(None)
    keras.distribution.initialize(f"localhost:{port},localhost:{port}", 2, process)
    devices = keras.distribution.list_devices()
    mesh = keras.distribution.DeviceMesh((1, len(devices)), ["batch", "time"], devices)
    first = 32 * process
    return sequence_parallel(mesh, "time", "batch"), slice(first, first + 32)


def main(process, port):
    scope, part = scope_of(process, port)
    x = np.random.default_rng(0).normal(size=(4, 64, 3)).astype("float32")[:, part]
    keras.utils.set_random_seed(0)
    with scope:
        model = SequenceClassifier(2, depth=1, units=4, state_size=6, seed=0)
        model.compile("adam", "sparse_categorical_crossentropy")
        fit = model.fit(x, np.array([0, 1, 0, 1]), batch_size=4, epochs=5, verbose=0)
    print(json.dumps(fit.history["loss"]))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
