"""Functions compiled as the backend compiles a model, with what compiling cost.

On PyTorch they run as they are, as its models do.
"""

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import keras
import numpy as np
from tqdm import tqdm


@dataclass
class Compiled:
    """A compiled function, its arguments, and the cost of getting there.

    `error` is that of its outputs, relative to the largest number of the right ones.
    """

    call: Any
    first_call: float
    temp_bytes: int | None = None
    error: float | None = None

    def __call__(self):
        """Run once, to the end."""
        return _wait(self.call())


def _wait(result):
    if keras.backend.backend() == "jax":
        import jax

        return jax.block_until_ready(result)
    if keras.backend.backend() == "torch":
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return result
    return [np.asarray(x) for x in keras.tree.flatten(result) if x is not None]


def compile_function(fn, *args, unknown=False):
    """`fn(*args)`: under `jax.jit`, as a `tf.function` graph, or eagerly on PyTorch.

    With `unknown` the last argument's batch and time are hidden from TensorFlow.
    """
    start = time.perf_counter()
    temp_bytes = None
    if keras.backend.backend() == "jax":
        import jax

        compiled = jax.jit(fn).lower(*args).compile()
        temp_bytes = compiled.memory_analysis().temp_size_in_bytes
    elif keras.backend.backend() == "torch":
        import torch

        compiled = torch.no_grad()(fn)
    else:
        import tensorflow as tf

        compiled = tf.function(fn)
        if unknown:
            *rest, inputs = args
            shape = (None, None, *inputs.shape[2:])
            compiled = compiled.get_concrete_function(
                *rest, tf.TensorSpec(shape, inputs.dtype)
            )
    ready = Compiled(lambda: compiled(*args), 0.0, temp_bytes)
    ready()
    ready.first_call = time.perf_counter() - start
    return ready


def _gradient_on_jax(fn):
    import jax

    def loss(weights, inputs):
        return keras.ops.sum(fn(weights, inputs) ** 2)

    return jax.grad(loss, argnums=(0, 1))


def compile_gradients(functions, weights, inputs):
    """`compile_gradient` of each of `{name: function}` on JAX, as many at once as may.

    What `first_call` says is the time of all of them. What does not compile is told,
    and left out.
    """
    import jax

    start = time.perf_counter()

    def compile_one(lowered):
        try:
            return lowered.compile()
        except Exception as error:
            return error

    lowered = {
        name: jax.jit(_gradient_on_jax(fn)).lower(weights, inputs)
        for name, fn in functions.items()
    }
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        programs = pool.map(compile_one, lowered.values())
        programs = dict(zip(lowered, tqdm(programs, total=len(lowered)), strict=True))
    for name, program in list(programs.items()):
        if isinstance(program, Exception):
            print(f"{name} does not compile: {program!r:.300}")
            del programs[name]
    return {
        name: Compiled(
            partial(program, weights, inputs),
            time.perf_counter() - start,
            program.memory_analysis().temp_size_in_bytes,
        )
        for name, program in programs.items()
    }


def compile_gradient(fn, weights, inputs, unknown=False):
    """Gradient of `sum(fn(weights, inputs)²)` for all weights and the inputs."""
    if keras.backend.backend() == "jax":
        return compile_function(_gradient_on_jax(fn), weights, inputs)
    if keras.backend.backend() == "torch":
        return _eager_gradient(fn, weights, inputs)
    import tensorflow as tf

    flat = keras.tree.flatten(weights)

    def gradient(*args):
        *flat, inputs = args
        with tf.GradientTape() as tape:
            tape.watch([flat, inputs])
            packed = keras.tree.pack_sequence_as(weights, flat)
            loss = keras.ops.sum(fn(packed, inputs) ** 2)
        return tape.gradient(loss, [flat, inputs])

    return compile_function(gradient, *flat, inputs, unknown=unknown)


def _eager_gradient(fn, weights, inputs):
    import torch

    weights, inputs = keras.tree.map_structure(
        lambda x: x.detach().requires_grad_(), (weights, inputs)
    )
    leaves = keras.tree.flatten((weights, inputs))

    def gradient():
        loss = torch.sum(fn(weights, inputs) ** 2)
        return torch.autograd.grad(loss, leaves, allow_unused=True)

    return started(gradient)


def started(call):
    """A candidate that compiles at its first call, and waits at every call."""
    start = time.perf_counter()
    call()
    return Compiled(call, time.perf_counter() - start)


def repeated(compiled, times):
    """The same, `times` in a row."""

    def call():
        for _ in range(times - 1):
            compiled.call()
        return compiled.call()

    return Compiled(call, compiled.first_call, compiled.temp_bytes)
