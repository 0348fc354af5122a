"""A deep LRU classifier as public JAX code writes it, with its training step.

Same architecture as `keras_lru.SequenceClassifier`: linear encoder, blocks of batch
norm, LRU, GELU, dropout shared over time, full GLU, dropout, skip, mean over time,
linear head; Adam. The recurrence is a complex64 `jax.lax.associative_scan` under vmap.
"""

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.compiled import started
from benchmarks.peers import complex_associative_scan, make_weights


def _dense(rng, inputs, outputs):
    scale = (2 / (inputs + outputs)) ** 0.5
    kernel = rng.normal(0, scale, (inputs, outputs)).astype("float32")
    return {"kernel": jnp.asarray(kernel), "bias": jnp.zeros(outputs)}


def _apply_dense(layer, x):
    return x @ layer["kernel"] + layer["bias"]


def make_parameters(depth, input_dim, units, state_size, num_classes):
    """Nested dict of weights."""
    rng = np.random.default_rng(0)
    return {
        "encoder": _dense(rng, input_dim, units),
        "blocks": [
            {
                "scale": jnp.ones(units),
                "offset": jnp.zeros(units),
                "lru": make_weights(units, state_size, units, seed),
                "value": _dense(rng, units, units),
                "gate": _dense(rng, units, units),
            }
            for seed in range(depth)
        ],
        "head": _dense(rng, units, num_classes),
    }


def _dropout(key, x, rate):
    keep = jax.random.bernoulli(key, 1 - rate, (x.shape[0], 1, x.shape[2]))
    return jnp.where(keep, x / (1 - rate), 0.0)


def _loss(parameters, x, labels, key, rate):
    x = _apply_dense(parameters["encoder"], x)
    statistics = []
    for block in parameters["blocks"]:
        key, first, second = jax.random.split(key, 3)
        mean, variance = x.mean((0, 1)), x.var((0, 1))
        statistics.append((mean, variance))
        h = (x - mean) * jax.lax.rsqrt(variance + 1e-3)
        h = complex_associative_scan(block["lru"], h * block["scale"] + block["offset"])
        h = _dropout(first, jax.nn.gelu(h, approximate=False), rate)
        gate = jax.nn.sigmoid(_apply_dense(block["gate"], h))
        x = x + _dropout(second, _apply_dense(block["value"], h) * gate, rate)
    logits = _apply_dense(parameters["head"], x.mean(1))
    log_probabilities = jax.nn.log_softmax(logits)
    loss = -jnp.take_along_axis(log_probabilities, labels[:, None], 1).mean()
    return loss, statistics


def compile_step(parameters, x, labels, rate=0.1):
    """A candidate that takes one Adam step and waits for the loss."""
    x, labels = jnp.asarray(x), jnp.asarray(labels)

    @jax.jit
    def step(parameters, moments, count, key):
        key, dropout_key = jax.random.split(key)
        (loss, _), gradients = jax.value_and_grad(_loss, has_aux=True)(
            parameters, x, labels, dropout_key, rate
        )
        first, second = moments
        first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, gradients)
        second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, gradients)
        rate_t = 1e-3 * jnp.sqrt(1 - 0.999**count) / (1 - 0.9**count)
        parameters = jax.tree.map(
            lambda p, m, v: p - rate_t * m / (jnp.sqrt(v) + 1e-7),
            parameters,
            first,
            second,
        )
        return parameters, (first, second), count + 1, key, loss

    zeros = jax.tree.map(jnp.zeros_like, parameters)
    state = [parameters, (zeros, zeros), jnp.float32(1), jax.random.key(0)]

    def run():
        *state[:], loss = step(*state)
        return float(loss)

    return started(run)
