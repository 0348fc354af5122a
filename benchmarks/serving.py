"""Exported streams and steps: the latency of one, TensorFlow alone, batch 1."""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from keras_lru import LRU, SequenceRegressor
from keras_lru.export import export_saved_model, step_model

_FEATURES = 128
_STEPS_A_ROUND = 500


def _models():
    stack = {"depth": 4, "units": 128, "state_size": 128}
    return {
        "LRU(128, 128)": keras.Sequential([LRU(128, return_sequences=True)]),
        "LSTM(128)": keras.Sequential([keras.layers.LSTM(128, return_sequences=True)]),
        "4-block SequenceRegressor": SequenceRegressor(128, **stack),
        "four LSTM(128)": keras.Sequential(
            [keras.layers.LSTM(128, return_sequences=True) for _ in range(4)]
        ),
    }


def _load(model):
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        export_saved_model(model, path, verbose=False)
        return tf.saved_model.load(str(path))


class _Step:
    """A step whose constants are folded, called as an exported stream is."""

    def __init__(self, model):
        import tensorflow as tf

        step = step_model(model)
        with tempfile.TemporaryDirectory() as folder:
            step.export(folder, verbose=False)
            self._serve = tf.saved_model.load(folder).serve
        self._begin = [tf.constant(x) for x in step.initial_states]

    def initial_state(self, batch_size):
        """States to begin with, of one sequence."""
        del batch_size
        return {"states": self._begin}

    def step(self, inputs, states):
        """The outputs, and states for the next step."""
        outputs, *states = self._serve([inputs, *states["states"]])
        return {"outputs": outputs, "states": states}


def _served():
    """`{name: function that exports it and loads it}`."""
    served = {name: (_load, model) for name, model in _models().items()}
    name = "4-block SequenceRegressor"
    served[f"{name}, step"] = (_Step, served[name][1])
    # Of its own: what is quantized stays so.
    served[f"{name}, int8"] = (_load, _models()[name])
    for name, (_, model) in served.items():
        if not model.built:
            model(np.zeros((1, 5, _FEATURES), "float32"))
        if name.endswith("int8"):
            model.quantize("int8")
    return served


def _time_steps(served, inputs):
    """Seconds of each step of a stream, its output fetched."""
    states = served.initial_state(1)
    seconds = []
    for x in inputs:
        start = time.perf_counter()
        states = served.step(x, states)
        states.pop("outputs").numpy()
        seconds.append(time.perf_counter() - start)
    return seconds


def run(only, rounds):
    """Interleaved rounds of 500 steps each, for JSON."""
    import tensorflow as tf

    served = {
        name: load(model) for name, (load, model) in _served().items() if only in name
    }
    x = np.random.default_rng(0).normal(size=(_STEPS_A_ROUND, 1, _FEATURES))
    inputs = tf.unstack(tf.constant(x, "float32"))
    seconds = {name: [] for name in served}
    # The first round warms up.
    for round_index in tqdm(range(rounds + 1), desc="serving", leave=False):
        for name, model in served.items():
            measured = _time_steps(model, inputs)
            if round_index:
                seconds[name].append(measured)
    return [_row(name, np.array(values)) for name, values in seconds.items()]


def _row(name, seconds):
    row = {
        "candidate": name,
        "steps_per_s": float(1 / np.median(seconds)),
        "steps_per_s_of_rounds": [float(1 / s) for s in np.median(seconds, axis=1)],
        "p50_ms": 1e3 * float(np.percentile(seconds, 50)),
        "p99_ms": 1e3 * float(np.percentile(seconds, 99)),
    }
    print(
        f"{name:28s} {row['steps_per_s']:8.0f} steps/s, median {row['p50_ms']:.3f} ms, "
        f"p99 {row['p99_ms']:.3f} ms"
    )
    return row
