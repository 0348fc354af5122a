"""The other ways to compute an LRU layer, and the float64 judge of all of them.

Every formulation is a function `(weights, inputs) → outputs` of the same weights.
"""

import keras
import numpy as np
from keras import ops

from keras_lru.ops import associative_scan, diagonal_ssm, naive


def make_weights(input_dim, state_size, units, seed=0):
    """Weights of a layer on the ring [0.9, 0.999], as a dict of tensors."""
    rng = np.random.default_rng(seed)

    def normal(*shape, scale):
        return rng.normal(0.0, scale, shape)

    modulus = np.sqrt(rng.uniform(0.9**2, 0.999**2, state_size))
    weights = {
        "nu": -np.log(modulus),
        "theta": rng.uniform(0, 2 * np.pi, state_size),
        "B_re": normal(input_dim, state_size, scale=(2 * input_dim) ** -0.5),
        "B_im": normal(input_dim, state_size, scale=(2 * input_dim) ** -0.5),
        "C_re": normal(state_size, units, scale=state_size**-0.5),
        "C_im": normal(state_size, units, scale=state_size**-0.5),
        "D": normal(units, scale=1.0),
    }
    gamma = np.sqrt(1 - modulus**2)
    weights["B_re"] *= gamma
    weights["B_im"] *= gamma
    return {k: ops.convert_to_tensor(v.astype("float32")) for k, v in weights.items()}


def reference(weights, inputs):
    """The recurrence step by step in float64."""
    w = {k: np.asarray(v, "float64") for k, v in weights.items()}
    outputs, _ = naive.diagonal_ssm(
        inputs,
        np.exp(-w["nu"] + 1j * w["theta"]),
        w["B_re"] + 1j * w["B_im"],
        w["C_re"] + 1j * w["C_im"],
        w["D"],
    )
    return outputs


def reference_gradient(weights, inputs):
    """Gradient of `sum(outputs²)` for weights and inputs, in float64 on JAX's CPU."""
    import jax
    import jax.numpy as jnp

    def loss(w, u):
        eigenvalues = jnp.exp(-w["nu"] + 1j * w["theta"])
        B, C = w["B_re"] + 1j * w["B_im"], w["C_re"] + 1j * w["C_im"]

        def step(x, u_t):
            x = eigenvalues * x + u_t @ B
            return x, (x @ C).real + w["D"] * u_t

        x = jnp.zeros((u.shape[0], eigenvalues.shape[0]), eigenvalues.dtype)
        _, outputs = jax.lax.scan(step, x, jnp.swapaxes(u, 0, 1))
        return jnp.sum(outputs**2)

    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        exact = jax.tree.map(
            lambda x: jnp.asarray(np.asarray(x, "float64")), (weights, inputs)
        )
        gradient = jax.jit(jax.grad(loss, argnums=(0, 1)))(*exact)
        return jax.tree.map(np.asarray, gradient)


def library(scan="auto", block_size="auto"):
    """`keras_lru`."""

    def run(w, u):
        return diagonal_ssm(
            u,
            -w["nu"],
            w["theta"],
            (w["B_re"], w["B_im"]),
            (w["C_re"], w["C_im"]),
            w["D"],
            scan=scan,
            block_size=block_size,
        )[0]

    return run


def least_work(batch, length, features, states, gradient):
    """`(bytes, FLOPs)` that a layer cannot do without, in float32.

    Inputs are read and outputs written; with a gradient, inputs and the gradient of the
    outputs are read, and that of the inputs written. The products are those of
    `projections`.
    """
    tokens = batch * length
    moved = 4 * tokens * features * (5 if gradient else 2)
    flops = 2 * tokens * 2 * states * 2 * features
    return moved, flops * (3 if gradient else 1)


def projections(w, u):
    """The two matrix products that no formulation can do without: the floor."""
    x = ops.reshape(u, (-1, u.shape[-1]))
    x = ops.matmul(x, ops.concatenate([w["B_re"], w["B_im"]], axis=1))
    y = ops.matmul(x, ops.concatenate([w["C_re"], -w["C_im"]], axis=0))
    return ops.reshape(y, (*u.shape[:2], y.shape[-1]))


def complex_associative_scan(w, u):
    """As public LRU code has it: complex64, the general scan, vmap over the batch."""
    import jax
    import jax.numpy as jnp

    eigenvalues = jnp.exp(-w["nu"] + 1j * w["theta"])
    B = (w["B_re"] + 1j * w["B_im"]).T
    C = (w["C_re"] + 1j * w["C_im"]).T

    def combine(earlier, later):
        (a, x), (b, y) = earlier, later
        return b * a, b * x + y

    def one_sequence(u):
        coefficients = jnp.repeat(eigenvalues[None], u.shape[0], axis=0)
        Bu = jax.vmap(lambda u_t: B @ u_t)(u)
        _, states = jax.lax.associative_scan(combine, (coefficients, Bu))
        return jax.vmap(lambda x_t, u_t: (C @ x_t).real + w["D"] * u_t)(states, u)

    return jax.vmap(one_sequence)(u)


def torch_associative_scan(w, u):
    """The same on PyTorch, over a whole batch.

    By our own scan: PyTorch has none that is differentiated, Keras's drops the
    imaginary part.
    """
    import torch

    eigenvalues = torch.exp(torch.complex(-w["nu"], w["theta"]))
    Bu = torch.complex(u @ w["B_re"], u @ w["B_im"])

    def combine(earlier, later):
        (a, x), (b, y) = earlier, later
        return b * a, b * x + y

    _, states = associative_scan(combine, (eigenvalues.expand_as(Bu), Bu), axis=1)
    outputs = states @ torch.complex(w["C_re"], w["C_im"])
    return outputs.real + w["D"] * u


def torch_layer(name, features):
    """`torch.nn.LSTM` or `GRU`, whose kernels PyTorch brings, with its own weights."""
    import torch

    module = getattr(torch.nn, name)(features, features, batch_first=True)
    weights = dict(module.named_parameters())

    def run(weights, inputs):
        return torch.func.functional_call(module, weights, (inputs,))[0]

    return run, weights


def keras_associative_scan(w, u):
    """(re, im) pairs through `keras.ops.associative_scan`."""
    modulus = ops.exp(-w["nu"])
    shape = (*u.shape[:2], w["nu"].shape[0])
    a = [
        ops.broadcast_to(modulus * part(w["theta"]), shape)
        for part in (ops.cos, ops.sin)
    ]
    b = [ops.matmul(u, w["B_re"]), ops.matmul(u, w["B_im"])]

    def multiply(p, q):
        return p[0] * q[0] - p[1] * q[1], p[0] * q[1] + p[1] * q[0]

    def combine(earlier, later):
        a_1, b_1 = earlier[:2], earlier[2:]
        a_2, b_2 = later[:2], later[2:]
        re, im = multiply(a_2, b_1)
        return (*multiply(a_2, a_1), re + b_2[0], im + b_2[1])

    *_, re, im = ops.associative_scan(combine, (*a, *b), axis=1)
    # On TensorFlow the rank is lost in graph mode.
    re, im = ops.reshape(re, shape), ops.reshape(im, shape)
    return ops.matmul(re, w["C_re"]) - ops.matmul(im, w["C_im"]) + w["D"] * u


def fft_convolution(w, u):
    """The same system as a convolution with its impulse response, N wide."""
    length = u.shape[1]
    t = ops.cast(ops.arange(length), "float32")[:, None]
    modulus = ops.exp(-t * w["nu"])
    powers = modulus * ops.cos(t * w["theta"]), modulus * ops.sin(t * w["theta"])

    def spectrum(x):
        pad = ops.zeros((*x.shape[:-1], length), dtype=x.dtype)
        return ops.rfft(ops.concatenate([x, pad], axis=-1))

    def convolve(x, kernel):
        (a, b), (c, d) = spectrum(x), spectrum(kernel)
        product = a * c - b * d, a * d + b * c
        return ops.irfft(product, 2 * length)[..., :length]

    def time_last(x):
        return ops.swapaxes(x, -1, -2)

    b_re, b_im = (time_last(ops.matmul(u, w[k])) for k in ("B_re", "B_im"))
    k_re, k_im = (time_last(x) for x in powers)
    re = time_last(convolve(b_re, k_re) - convolve(b_im, k_im))
    im = time_last(convolve(b_re, k_im) + convolve(b_im, k_re))
    return ops.matmul(re, w["C_re"]) - ops.matmul(im, w["C_im"]) + w["D"] * u


def formulations():
    """`{name: function}` of what runs on this backend."""
    peers = {
        "keras_lru": library(),
        "projections": projections,
        "keras.ops.associative_scan": keras_associative_scan,
        "FFT convolution": fft_convolution,
    }
    if keras.backend.backend() == "jax":
        peers["complex64 associative_scan"] = complex_associative_scan
    if keras.backend.backend() == "torch":
        peers["complex64 associative_scan"] = torch_associative_scan
    return peers
