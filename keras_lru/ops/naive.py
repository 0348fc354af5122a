"""Loops over time in NumPy float64: the tests' only judge.

Written from the paper's equations, one step after the other, with complex numbers, and
sharing no line with the fast implementations.
"""

import numpy as np


def linear_recurrence(coefficients, inputs, initial_state=None, reverse=False):
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


def diagonal_ssm(inputs, eigenvalues, B, C, D=None, initial_state=None, mask=None):
    """`x_t = Λ x_{t-1} + B u_t`, `y_t = Re(C x_t) + D u_t`, with Keras's mask rules.

    Args:
        inputs: `(batch, time, input_dim)`.
        eigenvalues: Λ, complex, `(state_size,)`.
        B: Complex, `(input_dim, state_size)`.
        C: Complex, `(state_size, output_dim)`.
        D: `None`, `(output_dim,)` or `(input_dim, output_dim)`.
        initial_state: Complex, `(batch, state_size)`.
        mask: Boolean, `(batch, time)`. A masked step changes neither state nor output.

    Returns:
        Outputs `(batch, time, output_dim)` and the last state `(batch, state_size)`.
    """
    u = np.asarray(inputs, "float64")
    batch, time, _ = u.shape
    x = np.zeros((batch, len(eigenvalues)), "complex128")
    if initial_state is not None:
        x = x + initial_state
    y = np.zeros((batch, C.shape[-1]))
    outputs = np.zeros((batch, time, C.shape[-1]))
    for t in range(time):
        for b in range(batch):
            if mask is not None and not mask[b, t]:
                outputs[b, t] = y[b]
                continue
            x[b] = eigenvalues * x[b] + u[b, t] @ B
            y[b] = (x[b] @ C).real
            if D is not None:
                y[b] += u[b, t] * D if np.ndim(D) == 1 else u[b, t] @ D
            outputs[b, t] = y[b]
    return outputs, x
