"""Whole models: one `train_on_batch`, beside the same with other recurrences."""

import keras
import numpy as np

from benchmarks.compiled import started
from benchmarks.layer_cases import make_inputs
from benchmarks.registry import BOTH, Target, case
from keras_lru.layers import LRU, LRUBlock
from keras_lru.models import SequenceClassifier


def _train_step(model, inputs, labels):
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    return started(lambda: model.train_on_batch(inputs, labels))


def _data(batch, length, features):
    return np.asarray(make_inputs(batch, length, features)), np.arange(batch) % 10


def _stack(layers):
    return keras.Sequential(
        [*layers, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(10)]
    )


@case(
    "train_on_batch of one layer (8, 2048, 128, 256)",
    Target("LRU(128, 256)", "LSTM(128)", 1 / 3.5, "tensorflow"),
    Target("LRU(128, 256)", "LSTM(128)", 1 / 3, "jax"),
    suites=BOTH,
    tokens=8 * 2048,
)
def _():
    data = _data(8, 2048, 128)
    layers = {
        "LRU(128, 256)": LRU(128, 256, return_sequences=True),
        "LSTM(128)": keras.layers.LSTM(128, return_sequences=True),
        "GRU(128)": keras.layers.GRU(128, return_sequences=True),
        "SimpleRNN(128)": keras.layers.SimpleRNN(128, return_sequences=True),
    }
    return {name: _train_step(_stack([x]), *data) for name, x in layers.items()}


@case(
    "train_on_batch of a 4-block classifier (16, 784, 128, 128)",
    Target("keras_lru", "public JAX code", 1 / 2, "jax"),
    Target("keras_lru", "four LSTM(128)", 1 / 3),
    suites=BOTH,
    tokens=16 * 784,
)
def _():
    x, y = _data(16, 784, 3)
    model = SequenceClassifier(10, depth=4, units=128, state_size=128, dropout=0.1)
    lstms = [keras.layers.LSTM(128, return_sequences=True) for _ in range(4)]
    candidates = {
        "keras_lru": _train_step(model, x, y),
        "four LSTM(128)": _train_step(_stack(lstms), x, y),
    }
    if keras.backend.backend() == "jax":
        from benchmarks import public_model

        parameters = public_model.make_parameters(4, 3, 128, 128, 10)
        candidates["public JAX code"] = public_model.compile_step(parameters, x, y)
    return candidates


@case(
    "64k tokens by length, train_on_batch of two layers or blocks of 64",
    suites=BOTH,
    tokens=65536,
)
def _():
    candidates = {}
    # Beyond, Keras's LSTM takes half a minute but on JAX.
    lengths = (64, 256, 1024, 4096, 16384)
    for length in lengths if keras.backend.backend() == "jax" else lengths[:3]:
        data = _data(65536 // length, length, 1)
        layers = {
            "LRUBlock(64)": LRUBlock,
            "LSTM(64)": keras.layers.LSTM,
        }
        for name, layer in layers.items():
            stack = _stack([layer(64, return_sequences=True) for _ in range(2)])
            candidates[f"{name}, length {length}"] = _train_step(stack, *data)
    return candidates


# Table 9 of the paper: length, H and N of each task. Table 4: times a tanh RNN's speed.
_TASKS = {
    "sCIFAR": (1024, 512, 384, 7.9),
    "ListOps": (2048, 128, 256, 1.9),
    "Text": (4096, 256, 192, 29.0),
    "Retrieval": (4000, 128, 256, 11.0),
    "Pathfinder": (1024, 192, 256, 7.3),
    "PathX": (16384, 128, 256, 17.0),
}


def _six_blocks(name, batch, shrink, suite):
    length, units, states, published = _TASKS[name]
    length, units, states = length // shrink, units // shrink, states // shrink

    @case(
        f"6-block model, {name}: ({batch}, {length}, {units}, {states})",
        # The paper's own ratio, on an A100 and at its own sizes.
        Target("LRU", "SimpleRNN(tanh)", 1 if suite == "cpu" else 1 / published),
        suites=(suite,),
        tokens=batch * length,
    )
    def _():
        data = _data(batch, length, 3)
        rnn = keras.layers.SimpleRNN(units, return_sequences=True)
        sizes = {"depth": 6, "units": units, "state_size": states}
        return {
            "LRU": _train_step(SequenceClassifier(10, **sizes), *data),
            "SimpleRNN(tanh)": _train_step(
                SequenceClassifier(10, recurrence=rnn, **sizes), *data
            ),
        }


for _name in ("ListOps", "PathX"):
    _six_blocks(_name, batch=4, shrink=4, suite="cpu")
for _name in _TASKS:
    _six_blocks(_name, batch=32, shrink=1, suite="gpu")
