"""Small sequences, masks and tolerances, and how the tests of layers run things."""

import keras
import numpy as np
from keras import ops

BATCH, TIME = 3, 7
# Features where outputs are to have as many as inputs.
WIDTH = 4
# float32 keeps 7 digits; sums of some 50 products of size 1 lose up to 2 of them.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}
# Rounding of inputs, matrices and outputs, of sums of some 10 products of size 1; and
# where outputs are larger than 1, so are roundings: four of eps / 2 a product.
HALF_CLOSE = {
    "bfloat16": {"atol": 10 * 2**-8, "rtol": 2 * 2**-8},
    "float16": {"atol": 10 * 2**-11, "rtol": 2 * 2**-11},
}
ALL = {"return_sequences": True, "return_state": True}

MASKS = {
    "right": np.arange(TIME) < np.array([[TIME], [4], [1]]),
    "left": np.arange(TIME) >= np.array([[0], [3], [6]]),
    "both": np.abs(np.arange(TIME) - 3) <= np.array([[3], [1], [0]]),
    "holes": np.array(
        [[1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0], [1, 1, 1, 0, 1, 1, 1]], bool
    ),
    "whole rows": np.repeat([[False], [True], [False]], TIME, axis=1),
    "everything": np.zeros((BATCH, TIME), bool),
    "nothing": np.ones((BATCH, TIME), bool),
}

# How a model is compiled: with XLA where nothing else is, not where that takes seconds.
COMPILED = {"jit_compile": keras.backend.backend() == "jax"}
# How a model runs soonest, where it does not matter how.
SOON = COMPILED if keras.backend.backend() == "jax" else {"run_eagerly": True}


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def numpy_of(x):
    """Any tensor as float64."""
    return ops.convert_to_numpy(ops.convert_to_tensor(x)).astype("float64")


def numpy_of_all(xs):
    return [numpy_of(x) for x in xs]


def dtype_of(x):
    return keras.backend.standardize_dtype(x.dtype)


def weights_of(layer):
    """`{name: float64 array}`."""
    return {weight.name: numpy_of(weight) for weight in layer.weights}


def assert_close(found, expected, close=CLOSE):
    """Of two tensors, or of two lists of tensors."""
    if not isinstance(found, (list, tuple)):
        found, expected = [found], [expected]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **close)


def assert_same(found, expected):
    """As `assert_close`, for the same arithmetic on the same numbers."""
    assert_close(found, expected, {"rtol": 1e-6, "atol": 1e-6})


def compiled(function):
    """On JAX compiled once for each shape of arguments; elsewhere nothing need be."""
    if keras.backend.backend() != "jax":
        return function
    import jax

    return jax.jit(function)


def model_of(inputs, outputs, **options):
    """A functional model, compiled for predictions."""
    model = keras.Model(inputs, outputs)
    model.compile("sgd", **(options or SOON))
    return model


def sequential(layer, time=None, before=(), **options):
    """A compiled model of a built layer, and of layers before it, for any time."""
    features = layer.input_spec.axes[-1]
    model = keras.Sequential([keras.Input((time, features)), *before, layer])
    how = {} if {"jit_compile", "run_eagerly"} & options.keys() else SOON
    model.compile(**{"optimizer": "sgd", **how, **options})
    return model
