"""Each layer's outputs and last states by the formulas of its paper, in float64.

A loop takes the layer's cell, its weights by name, inputs, a list of initial states or
`None`, and a mask or `None`; it returns outputs and a list of last states.
"""

import numpy as np

from keras_lru.ops import naive


def _complex(weights, name):
    return weights[f"{name}_re"] + 1j * weights[f"{name}_im"]


def _diagonal(system):
    """The loop of a diagonal system, which gives the log of Λ, and B, C and D."""

    def joined(states):
        return None if states is None else states[0] + 1j * np.asarray(states[1])

    def loop(cell, weights, x, states=None, mask=None, reset_to=None, **in_time):
        logs, *matrices = system(cell, weights)
        y, last = naive.diagonal_ssm(
            x,
            np.exp(logs),
            *matrices,
            initial_state=joined(states),
            mask=mask,
            reset_to=joined(reset_to),
            log_eigenvalues=logs,
            **in_time,
        )
        return y, [last.real, last.imag]

    return loop


def lru_system(cell, weights):
    """log Λ, γB, C and D."""
    if "lambda_re" in weights:
        with np.errstate(divide="ignore"):
            logs = np.log(_complex(weights, "lambda"))
    else:
        log = "nu_log" in weights
        nu, theta = (weights[name + log * "_log"] for name in ("nu", "theta"))
        if log:
            nu, theta = np.exp(nu), np.exp(theta)
        logs = -nu + 1j * theta
    B = _complex(weights, "B")
    if "gamma_log" in weights:
        B = np.exp(weights["gamma_log"]) * B
    return logs, B, _complex(weights, "C"), weights.get("D")


def _zero_order_hold(eigenvalues, delta):
    """ΛΔ, and what B is multiplied by."""
    logs = eigenvalues * delta
    return logs, (np.exp(logs) - 1) / eigenvalues


def s5_system(cell, weights):
    continuous = _complex(weights, "lambda")
    if cell.clip_eigenvalues:
        continuous = np.minimum(continuous.real, -1e-4) + 1j * continuous.imag
    logs, gain = _zero_order_hold(continuous, np.exp(weights["log_delta"]))
    C = (1 + cell.conjugate_symmetry) * _complex(weights, "C")
    return logs, gain * _complex(weights, "B"), C, weights.get("D")


def s4d_system(cell, weights):
    """The systems of all features, as one: features in the rows of B."""
    logs, gain = _zero_order_hold(
        -np.exp(weights["nu_log"]) + 1j * weights["lambda_im"],
        np.exp(weights["log_delta"])[:, None],
    )
    H, n = logs.shape
    C = 2 * _complex(weights, "C")
    of_feature = np.repeat(np.eye(H), n, axis=1)
    return (
        logs.ravel(),
        of_feature * gain.ravel(),
        (of_feature * C.ravel()).T,
        weights["D"],
    )


lru = _diagonal(lru_system)
s5 = _diagonal(s5_system)
s4d = _diagonal(s4d_system)

_ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    "sin": np.sin,
}


def dense_rnn(cell, weights, x, states=None, mask=None):
    activation = _ACTIVATIONS[cell.activation.__name__]
    start = None if states is None else np.asarray(states[0], "float64")
    matrices = [weights.get(name) for name in "ABCD"]
    y, last = naive.dense_rnn(x, *matrices, activation, start, mask)
    return y, [last]


def rg_lru(cell, weights, x, states=None, mask=None, reset=None, reset_to=None):
    start, begun = (
        None if s is None else np.asarray(s[0], "float64") for s in (states, reset_to)
    )
    names = ("Lambda", "W_a", "b_a", "W_x", "b_x")
    weights = [weights[name] for name in names]
    y, last = naive.rg_lru(x, *weights, start, mask, reset, begun)
    return y, [last]
