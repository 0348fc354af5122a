"""Functions for `generate` that a worker can import."""

import os
import sys
import time
from pathlib import Path

from keras_lru.datasets.generating.seeding import random_generator


def noise(indices, seed=0):
    """Three random bytes an example."""
    return [random_generator(seed, "train", i).bytes(3) for i in indices]


def logged_noise(indices, log, seconds=0.0):
    """As `noise`, with a line in the folder `log` for each chunk, and slowly."""
    time.sleep(seconds)
    examples = noise(indices)
    (Path(log) / f"{indices.start}-{time.time_ns()}").touch()
    return examples


def loaded_modules(indices, after):
    """The examples of `after`, each with what the worker has imported for them."""
    examples = after(indices)
    return [(example, sorted(sys.modules)) for example in examples]


def with_torch(indices):
    """As if the examples were computed with PyTorch."""
    sys.modules["torch"] = sys
    return list(indices)


def chatty(indices):
    """Prints, as some libraries do."""
    print("hello", flush=True)
    return noise(indices)


def failing(indices):
    """Fails from index 5 on."""
    if 5 in indices:
        raise ArithmeticError("no example 5")
    return noise(indices)


def suicidal(indices):
    """Ends as a process does that runs out of memory."""
    os.kill(os.getpid(), 9)


def forgetful(indices):
    """An example less than asked for."""
    return noise(indices)[1:]
