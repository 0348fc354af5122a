"""One way to get values and gradients out of an op, for every way it can be run."""

import functools

import keras
import numpy as np
import pytest
from keras import tree

from ..differentiate import pull_back

MODES = {
    "jax": ["eager", "jit"],
    "tensorflow": ["eager", "graph", "unknown", "xla", "xla_unknown"],
    "torch": ["eager"],
}


@pytest.fixture(scope="session", params=MODES[keras.backend.backend()])
def mode(request):
    """How a function is run; the unknown ones hide batch and time from the trace."""
    return request.param


# Compiling under XLA on TensorFlow takes seconds a time.
_TRACED = {
    "jax": ["jit"],
    "torch": ["eager"],
    "tensorflow": [
        "graph",
        "unknown",
        pytest.param("xla", marks=pytest.mark.slow),
        pytest.param("xla_unknown", marks=pytest.mark.slow),
    ],
}


@pytest.fixture(scope="session", params=_TRACED[keras.backend.backend()])
def traced_mode(request):
    """`mode` without eager execution."""
    return request.param


@pytest.fixture(scope="session")
def fast_mode():
    """The cheapest way to run a function many times."""
    return {"jax": "jit", "tensorflow": "graph", "torch": "eager"}[
        keras.backend.backend()
    ]


@pytest.fixture(scope="session")
def evaluate():
    return _evaluate


@pytest.fixture(scope="session")
def error():
    return _error


def _error(actual, expected):
    """Largest error over the largest expected number, 0 for two empty arrays."""
    actual, expected = _to_numpy(actual), np.asarray(expected, "float64")
    assert actual.shape == expected.shape
    if not expected.size:
        return 0.0
    assert np.isfinite(actual).all()
    return np.abs(actual - expected).max() / max(np.abs(expected).max(), 1e-30)


def _evaluate(function, arguments, cotangents=None, mode="eager", timed=(), **static):
    """Outputs of `function(**arguments, **static)`, flat, and their gradients.

    Args:
        function: Function of module level: what it compiles to is kept.
        arguments: Dictionary of arrays.
        cotangents: Arrays like the outputs; the gradients, a dictionary, are those of
            the sum of their products. `None`: no gradients.
        mode: One of `MODES`.
        timed: Names of the arguments whose first two axes an unknown mode hides.
        **static: Hashable arguments.
    """
    run = _compiled(function, mode, tuple(timed), tuple(sorted(static.items())))
    outputs, gradients = run(arguments, cotangents)
    return tree.map_structure(_to_numpy, (outputs, gradients))


def _to_numpy(x):
    x = keras.ops.convert_to_numpy(x)
    return x if x.dtype.kind in "iub" else x.astype("float64")


def _is_floating(x):
    return np.issubdtype(x.dtype, np.floating)


@functools.cache
def _compiled(function, mode, timed, static):
    make = {
        "jax": _compiled_jax,
        "tensorflow": _compiled_tensorflow,
        "torch": _compiled_torch,
    }
    return make[keras.backend.backend()](function, mode, timed, dict(static))


def _compiled_jax(function, mode, timed, static):
    import jax

    del timed

    def run(arguments, cotangents):
        floating = {k: x for k, x in arguments.items() if _is_floating(x)}

        def outputs(floating):
            return tree.flatten(function(**{**arguments, **floating}, **static))

        if cotangents is None:
            return outputs(floating), None
        values, (gradients,) = pull_back(outputs, [floating], cotangents)
        return values, gradients

    run = jax.jit(run) if mode == "jit" else run

    def run_on_arrays(arguments, cotangents):
        arguments = {k: jax.numpy.asarray(x) for k, x in arguments.items()}
        values, _ = jax.eval_shape(run, arguments, None)
        if cotangents is not None:
            cotangents = [
                jax.numpy.asarray(c, v.dtype)
                for c, v in zip(cotangents, values, strict=True)
            ]
        return run(arguments, cotangents)

    return run_on_arrays


def _compiled_torch(function, mode, timed, static):
    del mode, timed

    def run(arguments, cotangents):
        arguments = {k: keras.ops.convert_to_tensor(x) for k, x in arguments.items()}
        floating = {k: x for k, x in arguments.items() if x.is_floating_point()}

        def outputs(floating):
            return tree.flatten(function(**{**arguments, **floating}, **static))

        if cotangents is None:
            return outputs(floating), None
        values, (gradients,) = pull_back(outputs, [floating], cotangents)
        return values, gradients

    return run


def _compiled_tensorflow(function, mode, timed, static):
    import tensorflow as tf

    def run(arguments, cotangents):
        floating = {k: x for k, x in arguments.items() if x.dtype.is_floating}

        def outputs(floating):
            return tree.flatten(function(**{**arguments, **floating}, **static))

        if cotangents is None:
            return outputs(floating), None
        values, (gradients,) = pull_back(outputs, [floating], cotangents)
        return values, gradients

    if mode != "eager":
        # With and without control flow being converted.
        xla, autograph = mode.startswith("xla"), mode == "graph"
        run = tf.function(run, jit_compile=xla, autograph=autograph)

    traces = {}

    def spec(x, hidden):
        hidden = hidden and mode.endswith("unknown")
        shape = (None, None, *x.shape[2:]) if hidden else x.shape
        return tf.TensorSpec(shape, x.dtype)

    def run_on_arrays(arguments, cotangents):
        arguments = {k: tf.convert_to_tensor(x) for k, x in arguments.items()}
        if cotangents is not None:
            cotangents = [tf.convert_to_tensor(c) for c in cotangents]
        if mode == "eager":
            return run(arguments, cotangents)
        leading = [arguments[k].shape[:2] for k in timed]
        specs = (
            {k: spec(x, k in timed) for k, x in arguments.items()},
            cotangents and [spec(x, x.shape[:2] in leading) for x in cotangents],
        )
        key = str(specs)
        if key not in traces:
            traces[key] = run.get_concrete_function(*specs)
        return traces[key](arguments, cotangents)

    return run_on_arrays
