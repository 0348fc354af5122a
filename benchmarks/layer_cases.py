"""One layer beside its peers: training, masks, lengths, streaming."""

import keras
import numpy as np
from keras import ops

from benchmarks import compiled, peers
from benchmarks.registry import BOTH, Target, case
from benchmarks.shapes import sized
from keras_lru.backend import has_accelerator
from keras_lru.layers import LRU, LRUCell

# Largest accepted error, relative to the largest output: what float32 allows over 64k
# steps at |λ| up to 0.999.
_TOLERANCE = 2e-3
TOLERANCE_OF_TF32 = 2e-2
_COMPLEX, _PAIRS = "complex64 associative_scan", "keras.ops.associative_scan"


def make_inputs(batch, length, features):
    """Normal numbers."""
    rng = np.random.default_rng(1)
    return ops.convert_to_tensor(
        rng.normal(size=(batch, length, features)).astype("float32")
    )


def _check(name, outputs, expected):
    error = np.abs(ops.convert_to_numpy(outputs) - expected).max()
    error = float(error / np.abs(expected).max())
    # A GPU multiplies float32 with the 10 bits of TF32, unless it is asked not to.
    if not error < (TOLERANCE_OF_TF32 if has_accelerator() else _TOLERANCE):
        raise ValueError(f"{name} is wrong: relative error {error:.1e}")
    return error


def layer_candidates(batch, length, features, states, gradient, functions=None):
    """Every formulation, checked against the float64 loop, then compiled."""
    weights = peers.make_weights(features, states, features)
    inputs = make_inputs(batch, length, features)
    expected = peers.reference(weights, inputs)
    candidates = {}
    for name, function in (functions or peers.formulations()).items():
        ready = compiled.compile_function(function, weights, inputs)
        error = None
        if name != "projections":
            error = _check(name, ready.call(), expected)
        if gradient:
            ready = compiled.compile_gradient(function, weights, inputs)
        ready.error = error
        candidates[name] = ready
    if keras.backend.backend() == "torch" and functions is None:
        candidates |= _torch_layers(inputs, gradient)
    return candidates


def _torch_layers(inputs, gradient):
    """PyTorch's own recurrent layers."""
    how = compiled.compile_gradient if gradient else compiled.compile_function
    features = inputs.shape[-1]
    return {
        f"torch.nn.{name}({features})": how(*peers.torch_layer(name, features), inputs)
        for name in ("LSTM", "GRU")
    }


def compile_layer(layer, inputs):
    """Forward + backward of a layer of Keras."""
    layer.build(inputs.shape)
    weights = [ops.convert_to_tensor(w) for w in layer.trainable_weights]
    fixed = [w.value for w in layer.non_trainable_variables]

    def run(weights, inputs):
        return layer.stateless_call(weights, fixed, inputs)[0]

    return compiled.compile_gradient(run, weights, inputs)


def _layer(shape, gradient, *targets):
    shape = sized(*shape)
    name = f"layer {shape} forward{' + backward' if gradient else ''}"

    @case(
        name,
        *targets,
        suites=BOTH,
        tokens=shape[0] * shape[1],
        work=peers.least_work(*shape, gradient=gradient),
    )
    def _():
        return layer_candidates(*shape, gradient=gradient)


_layer(
    (8, 2048, 128, 256),
    False,
    Target("keras_lru", _COMPLEX, 1 / 5.5, "jax"),
    Target("keras_lru", "projections", 1.2),
)
_layer(
    (8, 2048, 128, 256),
    True,
    Target("keras_lru", _COMPLEX, 1 / 4, "jax"),
    Target("keras_lru", _PAIRS, 1 / 4.5, "tensorflow"),
    Target("keras_lru", "projections", 1.5, "jax"),
    Target("keras_lru", "projections", 1.5, "tensorflow"),
    Target("keras_lru", "projections", 1.35, "torch"),
)
_layer((4, 1024, 512, 384), False, Target("keras_lru", _COMPLEX, 1 / 4, "jax"))
_layer((4, 1024, 512, 384), True, Target("keras_lru", _COMPLEX, 1 / 2.4, "jax"))


_LENGTHS = tuple(sized(1, n)[1] for n in (1024, 4096, 16384, 65536))
_TOKENS = max(_LENGTHS)


@case(
    f"{_TOKENS} tokens by length, 64 units and states, forward + backward",
    *(
        Target(f"keras_lru, length {n}", f"keras_lru, length {_LENGTHS[0]}", 1.2)
        for n in _LENGTHS[1:]
    ),
    *(
        Target(f"keras_lru, length {n}", f"torch.nn.LSTM(64), length {n}", 1.0, "torch")
        for n in _LENGTHS[1:]
    ),
    suites=BOTH,
    tokens=_TOKENS,
)
def _():
    candidates = {}
    for length in _LENGTHS:
        shape = (_TOKENS // length, length, 64)
        functions = peers.formulations()
        general = _COMPLEX if _COMPLEX in functions else _PAIRS
        functions = {k: functions[k] for k in ("keras_lru", general)}
        ready = layer_candidates(*shape, 64, gradient=True, functions=functions)
        if keras.backend.backend() == "torch":
            ready |= _torch_layers(make_inputs(*shape), gradient=True)
        # Beyond, one call takes TensorFlow half a minute.
        elif length <= 4096 or keras.backend.backend() == "jax":
            lstm = keras.layers.LSTM(64, return_sequences=True)
            ready["LSTM(64)"] = compile_layer(lstm, make_inputs(*shape))
        for name, candidate in ready.items():
            candidates[f"{name}, length {length}"] = candidate
    return candidates


_ONE = sized(1, 16384, 128, 256)


@case(
    f"first call of the training step, {_ONE}",
    Target("keras_lru", None, 3.0, "jax"),
    Target("keras_lru", None, 4.0, "tensorflow"),
    tokens=_ONE[1],
)
def _():
    return layer_candidates(*_ONE, gradient=True)


_MILLION = sized(1, 10**6, 32, 32)


@case(f"a million steps, {_MILLION}", tokens=_MILLION[1])
def _():
    functions = {"forward": peers.library()}
    candidates = layer_candidates(*_MILLION, False, functions)
    functions = {"forward + backward": peers.library()}
    return candidates | layer_candidates(*_MILLION, True, functions)


_BATCH, _LENGTH, _FEATURES, _STATES = sized(8, 2048, 128, 256)


@case(
    f"unknown length, {_BATCH, _LENGTH, _FEATURES, _STATES}, forward + backward",
    Target("unknown", "static", 1.5),
    backends=("tensorflow",),
    tokens=_BATCH * _LENGTH,
)
def _():
    weights = peers.make_weights(_FEATURES, _STATES, _FEATURES)
    inputs = make_inputs(_BATCH, _LENGTH, _FEATURES)
    return {
        "static": compiled.compile_gradient(peers.library(), weights, inputs),
        "unknown": compiled.compile_gradient(
            peers.library(), weights, inputs, unknown=True
        ),
    }


@case(
    f"masks, LRU({_FEATURES}, {_STATES}) on {_BATCH, _LENGTH, _FEATURES}, "
    "forward + backward",
    Target("right padding", "no mask", 1.1),
    Target("left padding", "no mask", 1.1),
    Target("holes", "no mask", 1.5),
    suites=BOTH,
    tokens=_BATCH * _LENGTH,
)
def _():
    layer = LRU(_FEATURES, _STATES, return_sequences=True)
    inputs = make_inputs(_BATCH, _LENGTH, _FEATURES)
    layer.build(inputs.shape)
    weights = [ops.convert_to_tensor(w) for w in layer.trainable_weights]
    count = len(weights)
    rng = np.random.default_rng(2)
    lengths = rng.integers(_LENGTH * 3 // 4, _LENGTH + 1, (_BATCH, 1))
    masks = {
        "no mask": None,
        "right padding": np.arange(_LENGTH) < lengths,
        "left padding": np.arange(_LENGTH) >= _LENGTH - lengths,
        "holes": rng.random((_BATCH, _LENGTH)) < 0.9,
    }

    def under(mask):
        # Among the weights, or the compiler would know which mask it is.
        masks = [] if mask is None else [ops.cast(mask, "float32")]

        def run(weights, inputs):
            mask = None if len(weights) == count else weights[-1] > 0
            outputs, _ = layer.stateless_call(weights[:count], [], inputs, mask=mask)
            return outputs

        return compiled.compile_gradient(run, [*weights, *masks], inputs)

    return {name: under(mask) for name, mask in masks.items()}


@case(
    "streaming step, batch 1, 128 units",
    Target("LRUCell(128)", "LSTMCell(128)", 1.2),
    suites=BOTH,
    tokens=1,
)
def _():
    x = make_inputs(1, 1, 128)[:, 0]
    cells = {
        "LRUCell(128)": LRUCell(128),
        "LSTMCell(128)": keras.layers.LSTMCell(128),
    }
    candidates = {}
    for name, cell in cells.items():
        cell.build((1, 128))
        states = cell.get_initial_state(batch_size=1)
        # A single step is too short for the clock.
        step = compiled.compile_function(cell, x, states)
        candidates[name] = compiled.repeated(step, 200)
    return candidates
