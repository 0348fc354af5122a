"""Learning online: steps a second, memory over a long stream, the copy task."""

import time
from pathlib import Path

import keras
import numpy as np
from keras import ops
from tqdm import tqdm

from benchmarks.timing import time_interleaved
from keras_lru import LRU
from keras_lru.training import OnlineLearner

_FEATURES, _STATES = 64, 128
_BATCHES = (1, 16)
_STEPS_A_ROUND = 200
_PIECE = 50
_LONG = 100_000
_MARKS = (1_000, 10_000, 50_000, _LONG)
# Bits to copy, steps to wait, rows of trials, trials of each.
_BITS, _WAIT, _ROWS, _TRIALS = 5, 40, 16, 1_500


def run(only, rounds):
    """The parts whose name contains `only`, for JSON."""
    parts = {
        "steps": lambda: [x for batch in _BATCHES for x in _speeds(batch, rounds)],
        "memory": _memory,
        "copy": _copy,
    }
    return [row for name, part in parts.items() if only in name for row in part()]


def _layer(**kwargs):
    return LRU(_FEATURES, state_size=_STATES, return_sequences=True, seed=0, **kwargs)


def _learner():
    return OnlineLearner(_layer(), "mse", keras.optimizers.Adam(1e-3))


def _steps(batch, steps=_STEPS_A_ROUND):
    x = np.random.default_rng(0).normal(size=(steps, batch, _FEATURES))
    return x.astype("float32")


def _finish(value):
    ops.convert_to_numpy(value)


def _speeds(batch, rounds):
    inputs, learner = _steps(batch), _learner()
    pieces = keras.Sequential([_layer(stateful=True)])
    pieces.build((batch, _PIECE, _FEATURES))
    pieces.compile(keras.optimizers.Adam(1e-3), "mse")
    sequences = np.ascontiguousarray(inputs.swapaxes(0, 1))

    def learn():
        for x in inputs:
            loss, _ = learner.step(x, x)
        _finish(loss)

    def advance():
        for x in inputs:
            outputs = learner.advance(x)
        _finish(outputs)

    def in_pieces():
        for start in range(0, _STEPS_A_ROUND, _PIECE):
            x = sequences[:, start : start + _PIECE]
            pieces.train_on_batch(x, x)

    candidates = {
        "step": learn,
        "advance": advance,
        f"train_on_batch, pieces of {_PIECE}": in_pieces,
    }
    seconds = time_interleaved(candidates, rounds, f"batch {batch}")
    carried = sum(_size(x) for x in keras.tree.flatten(learner.memory))
    rows = []
    for name, values in seconds.items():
        row = {
            "candidate": f"{name}, batch {batch}",
            "steps_per_s": _STEPS_A_ROUND / float(np.median(values)),
            "carried_kb": carried / 1e3,
        }
        rows.append(row)
        print(f"{row['candidate']:36s} {row['steps_per_s']:8.0f} steps/s")
    print(f"carried, batch {batch}: {carried / 1e3:.0f} kB", flush=True)
    return rows


def _size(tensor):
    return ops.convert_to_numpy(tensor).nbytes


def _resident_mb():
    """Resident memory of this process, on Linux."""
    status = Path("/proc/self/status").read_text()
    (line,) = (x for x in status.splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1e3


def _memory():
    learner, inputs = _learner(), _steps(1)
    rows, start = [], time.perf_counter()
    for t in tqdm(range(1, _LONG + 1), desc="memory", leave=False):
        x = inputs[t % len(inputs)]
        loss, _ = learner.step(x, x)
        if t in _MARKS:
            _finish(loss)
            row = {
                "candidate": f"after {t} steps",
                "resident_mb": _resident_mb(),
                "seconds": time.perf_counter() - start,
            }
            rows.append(row)
            print(f"{row['candidate']:20s} {row['resident_mb']:8.1f} MB", flush=True)
    return rows


def _trial(rng):
    """One copy: inputs `(steps, rows, 2)`, a bit and a cue, and the bits."""
    bits = rng.choice([-1.0, 1.0], size=(_BITS, _ROWS))
    inputs = np.zeros((2 * _BITS + _WAIT, _ROWS, 2))
    inputs[:_BITS, :, 0] = bits
    inputs[-_BITS, :, 1] = 1.0
    return inputs.astype("float32"), bits[..., None].astype("float32")


def _copier(**kwargs):
    # At the start it halves what it read in 1 to 7 steps.
    ring = {"r_min": 0.5, "r_max": 0.9}
    layer = LRU(32, state_size=32, **ring, return_sequences=True, seed=0, **kwargs)
    widths = [(64, "gelu"), (64, "gelu"), (1, None)]
    dense = [
        keras.layers.Dense(
            n, activation, kernel_initializer=keras.initializers.LecunNormal(i)
        )
        for i, (n, activation) in enumerate(widths)
    ]
    return keras.Sequential([layer, *dense])


def _copy():
    """Share of bits copied right, by the trials of each row before."""
    return [*_copy_by("online", _online()), *_copy_by("in pieces", _in_pieces())]


def _online():
    """A function that learns a trial and returns the outputs."""
    learner = OnlineLearner(_copier(), "mse", keras.optimizers.Adam(0.003))

    def learn(inputs, bits):
        for x in inputs[:-_BITS]:
            learner.advance(x)
        pairs = zip(inputs[-_BITS:], bits, strict=True)
        return [ops.convert_to_numpy(learner.step(x, y)[1]) for x, y in pairs]

    return learn


def _in_pieces():
    """The same by a stateful layer: what is recalled is a piece of its own."""
    model = _copier(stateful=True)
    model.build((_ROWS, None, 2))
    model.compile(keras.optimizers.Adam(0.003), "mse")

    def learn(inputs, bits):
        inputs, bits = (x.swapaxes(0, 1) for x in (inputs, bits))
        model(inputs[:, :-_BITS])
        state = [ops.convert_to_numpy(x) for x in model.layers[0].states]
        outputs = ops.convert_to_numpy(model(inputs[:, -_BITS:]))
        for variable, value in zip(model.layers[0].states, state, strict=True):
            variable.assign(value)
        model.train_on_batch(inputs[:, -_BITS:], bits)
        return outputs.swapaxes(0, 1)

    return learn


def _copy_by(name, learn):
    rng, right, rows = np.random.default_rng(0), [], []
    for trial in tqdm(range(1, _TRIALS + 1), desc=name, leave=False):
        inputs, bits = _trial(rng)
        right.append(np.mean(np.sign(learn(inputs, bits)) == bits))
        if trial % (_TRIALS // 6) == 0:
            share = float(np.mean(right[-50:]))
            rows.append({"candidate": f"copy {name}, {trial} trials", "right": share})
            print(f"{rows[-1]['candidate']:30s} {share:8.3f} right", flush=True)
    return rows
