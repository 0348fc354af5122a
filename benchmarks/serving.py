"""Exported streams: the latency of `step`, TensorFlow alone, batch 1."""

import tempfile
import time
from pathlib import Path

import keras
import numpy as np
from tqdm import tqdm

from keras_lru import LRU, SequenceRegressor
from keras_lru.export import export_saved_model

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

    model(np.zeros((1, 5, _FEATURES), "float32"))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        export_saved_model(model, path, verbose=False)
        return tf.saved_model.load(str(path))


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

    served = {name: _load(m) for name, m in _models().items() if only in name}
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
