"""Whole models: one `train_on_batch`, beside the same with other recurrences."""

import keras
import numpy as np

from benchmarks.compiled import compile_gradient, started
from benchmarks.layer_cases import make_inputs
from benchmarks.registry import BOTH, Target, case
from benchmarks.shapes import sized
from keras_lru.layers import LRU, LRUBlock
from keras_lru.models import SequenceClassifier


def _train_step(model, inputs, labels, **options):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, **options)
    return started(lambda: model.train_on_batch(inputs, labels))


def make_data(batch, length, features):
    return np.asarray(make_inputs(batch, length, features)), np.arange(batch) % 10


def _stack(layers):
    return keras.Sequential(
        [*layers, keras.layers.GlobalAveragePooling1D(), keras.layers.Dense(10)]
    )


_SHAPE = sized(8, 2048, 128, 256)


@case(
    f"train_on_batch of one layer {_SHAPE}",
    Target("LRU", "LSTM", 1 / 3.5, "tensorflow"),
    Target("LRU", "LSTM", 1 / 3, "jax"),
    suites=BOTH,
    tokens=_SHAPE[0] * _SHAPE[1],
)
def _():
    *shape, states = _SHAPE
    units = shape[-1]
    data = make_data(*shape)
    layers = {
        "LRU": LRU(units, states, return_sequences=True),
        "LSTM": keras.layers.LSTM(units, return_sequences=True),
        "GRU": keras.layers.GRU(units, return_sequences=True),
        "SimpleRNN": keras.layers.SimpleRNN(units, return_sequences=True),
    }
    return {name: _train_step(_stack([x]), *data) for name, x in layers.items()}


def _products(batch, length, depth, units, states):
    """Gradient of the matrix products of as many blocks: B, C, and both of the gate."""
    x = make_inputs(batch, length, units)
    shapes = [(units, 2 * states), (2 * states, units), (units, 2 * units)] * depth
    rng = np.random.default_rng(2)
    weights = [
        keras.ops.convert_to_tensor(
            rng.normal(0.0, shape[0] ** -0.5, shape).astype("float32")
        )
        for shape in shapes
    ]

    def run(weights, inputs):
        x = keras.ops.reshape(inputs, (-1, units))
        for matrix in weights:
            x = keras.ops.matmul(x[:, : matrix.shape[0]], matrix)
        return x

    return compile_gradient(run, weights, x)


_FOUR = sized(16, 784, 128, 128)


def _classifier():
    _, _, units, states = _FOUR
    sizes = {"depth": 4, "units": units, "state_size": states}
    return SequenceClassifier(10, dropout=0.1, **sizes)


@case(
    f"train_on_batch of a 4-block classifier {_FOUR}, alone with its products",
    Target("keras_lru", "its matrix products", 1.45),
    suites=BOTH,
    tokens=_FOUR[0] * _FOUR[1],
)
def _():
    batch, length, units, states = _FOUR
    return {
        "keras_lru": _train_step(_classifier(), *make_data(batch, length, 3)),
        "its matrix products": _products(batch, length, 4, units, states),
    }


@case(
    f"train_on_batch of a 4-block classifier {_FOUR} beside others",
    Target("keras_lru", "its matrix products", 1.45),
    Target("keras_lru", "public JAX code", 1 / 2, "jax"),
    Target("keras_lru", "four LSTM", 1 / 3),
    suites=BOTH,
    tokens=_FOUR[0] * _FOUR[1],
)
def _():
    batch, length, units, states = _FOUR
    x, y = make_data(batch, length, 3)
    lstms = [keras.layers.LSTM(units, return_sequences=True) for _ in range(4)]
    candidates = {
        "keras_lru": _train_step(_classifier(), x, y),
        "its matrix products": _products(batch, length, 4, units, states),
        "four LSTM": _train_step(_stack(lstms), x, y),
    }
    if keras.backend.backend() == "tensorflow":
        # Keras compiles by itself only where there is a GPU.
        candidates["keras_lru, jit_compile=True"] = _train_step(
            _classifier(), x, y, jit_compile=True
        )
    if keras.backend.backend() == "jax":
        from benchmarks import public_model

        parameters = public_model.make_parameters(4, 3, units, states, 10)
        candidates["public JAX code"] = public_model.compile_step(parameters, x, y)
    return candidates


_TOKENS = sized(1, 65536)[1]


@case(
    f"{_TOKENS} tokens by length, train_on_batch of two layers or blocks of 64",
    suites=BOTH,
    tokens=_TOKENS,
)
def _():
    candidates = {}
    # Beyond, Keras's LSTM takes half a minute but on JAX.
    lengths = [n for n in (64, 256, 1024, 4096, 16384) if n <= _TOKENS]
    for length in lengths if keras.backend.backend() == "jax" else lengths[:3]:
        data = make_data(_TOKENS // length, length, 1)
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
    batch, *sizes = sized(batch, length // shrink, units // shrink, states // shrink)
    length, units, states = sizes

    @case(
        f"6-block model, {name}: ({batch}, {length}, {units}, {states})",
        # The paper's own ratio, on an A100 and at its own sizes.
        Target("LRU", "SimpleRNN(tanh)", 1 if suite == "cpu" else 1 / published),
        suites=(suite,),
        tokens=batch * length,
    )
    def _():
        data = make_data(batch, length, 3)
        sizes = {"depth": 6, "units": units, "state_size": states}
        recurrences = {
            "LRU": None,
            "SimpleRNN(tanh)": keras.layers.SimpleRNN(units, return_sequences=True),
        }
        if suite == "gpu":
            # By cuDNN, where Keras knows how.
            recurrences["LSTM"] = keras.layers.LSTM(units, return_sequences=True)
        return {
            name: _train_step(
                SequenceClassifier(10, recurrence=recurrence, **sizes), *data
            )
            for name, recurrence in recurrences.items()
        }


for _name in ("ListOps", "PathX"):
    _six_blocks(_name, batch=4, shrink=4, suite="cpu")
for _name in _TASKS:
    _six_blocks(_name, batch=32, shrink=1, suite="gpu")
