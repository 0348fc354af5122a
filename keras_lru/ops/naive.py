"""Loops over time in NumPy float64: the tests' only judge.

Written from the paper's equations, one step after the other, with complex numbers, and
sharing no line with the fast implementations.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def linear_recurrence(
    coefficients: ArrayLike,
    inputs: ArrayLike,
    initial_state: ArrayLike | None = None,
    reverse: bool = False,
) -> tuple[NDArray, NDArray]:
    """`x_t = a_t x_{t-1} + b_t`, complex128: states and last state."""
    b = np.asarray(inputs, "complex128")
    a = np.broadcast_to(np.asarray(coefficients, "complex128"), b.shape)
    x = np.zeros((len(b), b.shape[-1]), "complex128")
    if initial_state is not None:
        x = x + initial_state
    states = np.zeros_like(b)
    steps = range(b.shape[1])
    for t in reversed(steps) if reverse else steps:
        x = a[:, t] * x + b[:, t]
        states[:, t] = x
    return states, x


def diagonal_ssm(
    inputs: ArrayLike,
    eigenvalues: NDArray,
    B: NDArray,
    C: NDArray,
    D: NDArray | None = None,
    initial_state: ArrayLike | None = None,
    mask: NDArray | None = None,
    step_sizes: ArrayLike | None = None,
    log_eigenvalues: NDArray | None = None,
    hold: str = "zero_order",
    reset: NDArray | None = None,
    reset_to: ArrayLike | None = None,
) -> tuple[NDArray, NDArray]:
    """`x_t = Λ x_{t-1} + B u_t`, `y_t = Re(C x_t) + D u_t`, with Keras's mask rules.

    Args:
        inputs: `(batch, time, input_dim)`.
        eigenvalues: Λ, complex, `(state_size,)`.
        B: Complex, `(input_dim, state_size)`.
        C: Complex, `(state_size, output_dim)`.
        D: `None`, `(output_dim,)` or `(input_dim, output_dim)`.
        initial_state: Complex, `(batch, state_size)`.
        mask: Boolean, `(batch, time)`. A masked step changes neither state nor output.
        step_sizes: Δ, `(batch, time)`: Λ^Δ in place of Λ, and of `"zero_order"` the
            inputs times `(Λ^Δ − 1) / (Λ − 1)`. `None`: 1.
        log_eigenvalues: Of the logarithms of Λ, the one that Λ^Δ is taken from.
        hold: `"zero_order"` or `"impulse"`.
        reset: Boolean `(batch, time)`: where state and output begin anew, at zero.
        reset_to: Where the state begins then, `(batch, state_size)`.

    Returns:
        Outputs `(batch, time, output_dim)` and the last state `(batch, state_size)`.
    """

    def step(x, u_and_size):
        u, size = u_and_size[:-1], u_and_size[-1]
        power, factor = eigenvalues, 1
        if size != 1:
            logs = log_eigenvalues
            power = np.exp(size * (np.log(eigenvalues) if logs is None else logs))
            if hold == "zero_order":
                factor = (power - 1) / (eigenvalues - 1)
        x = power * x + factor * (u @ B)
        return x, (x @ C).real + _feedthrough(D, u)

    u = np.asarray(inputs, "float64")
    sizes = np.ones(u.shape[:2]) if step_sizes is None else np.asarray(step_sizes)
    u = np.concatenate([u, sizes[..., None]], axis=-1)
    zeros = np.zeros(C.shape, "complex128")
    return _loop(step, u, zeros, initial_state, mask, reset, reset_to)


def dense_rnn(
    inputs: ArrayLike,
    A: NDArray,
    B: NDArray,
    C: NDArray,
    D: NDArray | None,
    activation: Callable[[NDArray], NDArray],
    initial_state: ArrayLike | None = None,
    mask: NDArray | None = None,
) -> tuple[NDArray, NDArray]:
    """`x_t = σ(x_{t-1} A + u_t B)`, `y_t = x_t C + D u_t`: as `diagonal_ssm`, real."""

    def step(x, u):
        x = activation(x @ A + u @ B)
        return x, x @ C + _feedthrough(D, u)

    return _loop(step, inputs, np.zeros(C.shape), initial_state, mask)


def rg_lru(
    inputs: ArrayLike,
    Lambda: NDArray,
    W_a: NDArray,
    b_a: NDArray,
    W_x: NDArray,
    b_x: NDArray,
    initial_state: ArrayLike | None = None,
    mask: NDArray | None = None,
    reset: NDArray | None = None,
    reset_to: ArrayLike | None = None,
) -> tuple[NDArray, NDArray]:
    """Griffin's equations 1 to 4, with c = 8: as `diagonal_ssm`; h_t is the output.

    `W_a` and `W_x` are `(heads, width, width)`, the blocks on the diagonal.
    """

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def block_diagonal(blocks, x):
        parts = np.split(x, len(blocks))
        return np.concatenate(
            [p @ block for p, block in zip(parts, blocks, strict=True)]
        )

    def step(h, x):
        r = sigmoid(block_diagonal(W_a, x) + b_a)
        i = sigmoid(block_diagonal(W_x, x) + b_x)
        log_a = -8 * np.log1p(np.exp(Lambda)) * r
        h = np.exp(log_a) * h + np.sqrt(-np.expm1(2 * log_a)) * (i * x)
        return h, h

    zeros = np.zeros((len(Lambda), len(Lambda)))
    return _loop(step, inputs, zeros, initial_state, mask, reset, reset_to)


def _feedthrough(D, u):
    if D is None:
        return 0.0
    return u * D if np.ndim(D) == 1 else u @ D


def _loop(step, inputs, zeros, initial_state, mask, reset=None, reset_to=None):
    """`state, output = step(state, input)`, unless masked, step by step.

    `zeros` is `(state_size, output_dim)`, in the dtype of the state.
    """
    u = np.asarray(inputs, "float64")
    batch, time, _ = u.shape
    state_size, output_dim = zeros.shape
    x = np.zeros((batch, state_size), zeros.dtype)
    if initial_state is not None:
        x = x + initial_state
    begun = np.zeros_like(x)
    if reset_to is not None:
        begun = begun + reset_to
    y = np.zeros((batch, output_dim))
    outputs = np.zeros((batch, time, output_dim))
    for t in range(time):
        for b in range(batch):
            if reset is not None and reset[b, t]:
                x[b], y[b] = begun[b], 0
            if mask is None or mask[b, t]:
                x[b], y[b] = step(x[b], u[b, t])
            outputs[b, t] = y[b]
    return outputs, x
