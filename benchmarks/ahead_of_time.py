"""Programs for a device that is not there: compiled by its compiler, not run.

What it would move and keep is exact and repeatable; it says nothing of seconds.
"""

import contextlib
import importlib
import itertools
import os
from functools import partial

# The module of each suite: its `ENVIRONMENT`, `topology()` and `figures(compiled)`.
_DEVICES = {"tpu-aot": "tpu", "gpu-aot": "gpu"}


def set_environment(suite):
    """Set the variables that its compiler needs, before JAX is imported."""
    ours = _device(suite).ENVIRONMENT
    flags = (os.environ.get("XLA_FLAGS"), ours.get("XLA_FLAGS"))
    os.environ.update({**ours, "XLA_FLAGS": " ".join(filter(None, flags))})


def _device(suite):
    """The module that knows the device of a suite."""
    return importlib.import_module(f"benchmarks.{_DEVICES[suite]}")


def _layer(shape, states):
    from benchmarks import peers

    candidates = {
        "projections": peers.projections,
        "complex64 associative_scan": peers.complex_associative_scan,
        "keras.ops.associative_scan": peers.keras_associative_scan,
        'scan="auto"': peers.library(),
    }
    for scan in ("pallas", "associative", "chunked", "sequential"):
        for block_size in (1, 4, 8, 16):
            name = f'scan="{scan}", block_size={block_size}'
            candidates[name] = peers.library(scan, block_size)
    features = shape[-1]
    weights = peers.make_weights(features, states, features)
    for name, function in candidates.items():
        yield f"layer {(*shape, states)}: {name}", function, weights, shape


def _gated_layer(shape):
    from keras_lru.layers import RGLRU

    for scan in ("pallas", "associative", "sequential"):
        layer = RGLRU(shape[-1], return_sequences=True, scan=scan)
        yield f'RGLRU {shape}: scan="{scan}"', *_called(layer, shape)


def _model(shape, units, states):
    from keras_lru.layers import LRU
    from keras_lru.models import SequenceClassifier

    sizes = (*shape[:2], units, states)
    for scan, block_size in (("associative", 1), ("associative", 8), ("pallas", 8)):
        layer = LRU(
            units, states, return_sequences=True, scan=scan, block_size=block_size
        )
        model = SequenceClassifier(10, depth=6, units=units, recurrence=layer)
        name = f'6-block model {sizes}: scan="{scan}", block_size={block_size}'
        yield name, *_called(model, shape)


def _called(layer, shape):
    """A function of its weights and of inputs of a shape, both, and the shape."""
    layer.build(shape)
    weights = [v.value for v in layer.trainable_variables]
    fixed = [v.value for v in layer.non_trainable_variables]

    def run(weights, inputs):
        return layer.stateless_call(weights, fixed, inputs, training=True)[0]

    return run, weights, shape


def _as_on_an_accelerator():
    """What `"auto"` takes is what it would take on the device, which is not there."""
    from unittest import mock

    stack = contextlib.ExitStack()
    for module in ("ops.algorithm", "backend.jax"):
        name = f"keras_lru.{module}.has_accelerator"
        stack.enter_context(mock.patch(name, return_value=True))
    return stack


def run(suite, only=""):
    """Compile forward and gradient of each formulation; print and return figures."""
    import jax
    from tqdm import tqdm

    target = _device(suite)
    sharding = jax.sharding.SingleDeviceSharding(target.topology().devices[0])

    def loss(weights, inputs, function):
        return (function(weights, inputs) ** 2).sum()

    def spec(x):
        return jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding)

    results = []
    for name, function, weights, shape in itertools.chain(
        _layer((8, 2048, 128), 256),
        _gated_layer((8, 2048, 256)),
        _model((8, 2048, 3), 128, 256),
    ):
        gradient = jax.grad(partial(loss, function=function), argnums=(0, 1))
        for kind, f in (("forward", function), ("forward + backward", gradient)):
            if only not in f"{name}, {kind}":
                continue
            tqdm.write(f"compiling {name}, {kind} …")
            inputs = jax.ShapeDtypeStruct(shape, "float32", sharding=sharding)
            with _as_on_an_accelerator():
                lowered = jax.jit(f).lower(jax.tree.map(spec, weights), inputs)
            compiled = lowered.compile()
            figures = target.figures(compiled)
            figures["temporary MB"] = (
                compiled.memory_analysis().temp_size_in_bytes / 1e6
            )
            results.append({"candidate": name, "kind": kind, **figures})
    for row in results:
        figures = {k: x for k, x in row.items() if k not in ("candidate", "kind")}
        words = " ".join(f"{x:7.0f} {unit}" for unit, x in figures.items())
        print(f"{row['candidate']:64s} {row['kind']:20s} {words}")
    return results
