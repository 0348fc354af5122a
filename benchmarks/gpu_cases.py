"""What a GPU decides, in the order of its worth: before all other cases of its suite.

On JAX, which is what `"auto"` has to be right on first.
"""

import contextlib
from functools import partial

import keras
import numpy as np
from keras import ops

from benchmarks import compiled, peers
from benchmarks.layer_cases import TOLERANCE_OF_TF32, compile_layer, make_inputs
from benchmarks.model_cases import make_data
from benchmarks.registry import Target, case
from benchmarks.shapes import sized
from keras_lru.models import SequenceClassifier

_case = partial(case, suites=("gpu",), backends=("jax",))
_COMPLEX = "complex64 associative_scan"


def _error(found, expected):
    """Largest difference, relative to the largest number, in all of two structures."""
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    return max(
        float(np.abs(np.asarray(x, "float64") - y).max() / np.abs(y).max())
        for x, y in pairs
    )


_SMALL = sized(2, 2048, 128, 256)


@_case(f"error against float64, {_SMALL}", tokens=_SMALL[0] * _SMALL[1])
def _():
    import jax

    batch, length, features, states = _SMALL
    weights = peers.make_weights(features, states, features)
    inputs = make_inputs(batch, length, features)
    outputs = peers.reference(weights, inputs)
    gradients = peers.reference_gradient(weights, inputs)
    precisions = {
        "default precision": contextlib.nullcontext(),
        '"highest"': jax.default_matmul_precision("highest"),
    }
    candidates = {}
    for name, precision in precisions.items():
        with precision:
            forward = compiled.compile_function(peers.library(), weights, inputs)
            backward = compiled.compile_gradient(peers.library(), weights, inputs)
        forward.error = _error(forward.call(), outputs)
        backward.error = _error(backward.call(), gradients)
        candidates[f"{name}, forward"] = forward
        candidates[f"{name}, gradient"] = backward
    return candidates


def _difference(found, expected):
    """`_error`, where the numbers are: in float32, without moving them."""
    pairs = zip(keras.tree.flatten(found), keras.tree.flatten(expected), strict=True)
    return max(float(ops.max(ops.abs(x - y)) / ops.max(ops.abs(y))) for x, y in pairs)


def _near_the_library(functions, weights, inputs):
    """Gradients, those left out that are not what the library's own is."""
    candidates = compiled.compile_gradients(
        {"keras_lru": peers.library(), **functions}, weights, inputs
    )
    expected = candidates["keras_lru"].call()
    for name in [name for name in candidates if name != "projections"]:
        error = candidates[name].error = _difference(candidates[name].call(), expected)
        if not error < TOLERANCE_OF_TF32:
            print(f"{name} is wrong: relative error {error:.1e}")
            del candidates[name]
    return candidates


def _layer(shape, title, make_functions, *targets, lstm=False):
    shape = sized(*shape)
    batch, length, features, states = shape

    @_case(
        f"{title}, layer {shape}, forward + backward",
        *targets,
        tokens=batch * length,
        work=peers.least_work(*shape, gradient=True),
    )
    def _():
        weights = peers.make_weights(features, states, features)
        inputs = make_inputs(batch, length, features)
        candidates = _near_the_library(make_functions(), weights, inputs)
        if lstm:
            layer = keras.layers.LSTM(features, return_sequences=True)
            candidates["LSTM"] = compile_layer(layer, inputs)
        return candidates


def _peers():
    return {
        _COMPLEX: peers.complex_associative_scan,
        "keras.ops.associative_scan": peers.keras_associative_scan,
        "projections": peers.projections,
    }


def _scan(scan, block_sizes=(4, 8, 16, 1, 2, 32)):
    return {
        f'scan="{scan}", block_size={block_size}': peers.library(scan, block_size)
        for block_size in block_sizes
    }


for _shape in ((8, 2048, 128, 256), (32, 16384, 128, 256)):
    _layer(
        _shape,
        "beside its peers",
        _peers,
        Target("keras_lru", _COMPLEX, 1 / 5),
        Target("keras_lru", "projections", 2.0),
    )
    for _name in ("associative", "pallas", "sequential", "chunked"):
        _layer(_shape, f"{_name} scans", partial(_scan, _name))
    _layer(_shape, "beside an LSTM", dict, lstm=True)


_WORMS = sized(4, 17984, 64, 64)


@_case(f"gradient of a 6-block model, as long as EigenWorms: {_WORMS}")
def _():
    batch, length, units, states = _WORMS
    model = SequenceClassifier(5, depth=6, units=units, state_size=states)
    x, _ = make_data(batch, length, 6)
    model.build(x.shape)
    weights = [v.value for v in model.trainable_variables]
    fixed = [v.value for v in model.non_trainable_variables]

    def run(weights, inputs):
        return model.stateless_call(weights, fixed, inputs, training=True)[0]

    inputs = ops.convert_to_tensor(x)
    return {"keras_lru": compiled.compile_gradient(run, weights, inputs)}


_HALF = sized(32, 4096, 128, 256)


@_case(
    f"bfloat16 products, layer {_HALF}, forward + backward",
    tokens=_HALF[0] * _HALF[1],
)
def _():
    batch, length, features, states = _HALF
    weights = peers.make_weights(features, states, features)
    inputs = make_inputs(batch, length, features)

    def half(w, u):
        return ops.cast(peers.library()(w, ops.cast(u, "bfloat16")), "float32")

    candidates = compiled.compile_gradients(
        {"float32": peers.library(), "bfloat16": half}, weights, inputs
    )
    found, expected = (candidates[k].call() for k in ("bfloat16", "float32"))
    candidates["bfloat16"].error = _difference(found, expected)
    return candidates
