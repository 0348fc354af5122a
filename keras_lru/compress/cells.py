"""Cells as diagonal systems in double precision, and back."""

import math

import keras
import numpy as np

from keras_lru.compress.balancing import Diagonal
from keras_lru.layers import LRUCell, S5Cell

# Zero, as far as a logarithm can say it.
_LEAST = 1e-30


def find_cells(layer):
    """`{path: cell}` of what can be made smaller in a layer or a model."""
    found = {}
    for cell in layer._flatten_layers():
        if not isinstance(cell, LRUCell | S5Cell):
            continue
        if found.setdefault(cell.path, cell) is not cell:
            raise ValueError(
                "`model` must have layers of different paths: name them. Received: two "
                f"of the path {cell.path!r}"
            )
    return found


def system_of(cell):
    """The `Diagonal` system of a built cell, feedthrough left out."""
    system = cell.system()

    def joined(parts):
        real, imag = (keras.ops.convert_to_numpy(x).astype("float64") for x in parts)
        return real + 1j * imag

    return Diagonal(joined(system.polar), joined(system.B), joined(system.C))


def state_size_argument(cell, size):
    """What the constructor calls a number of complex states."""
    return 2 * size if getattr(cell, "conjugate_symmetry", False) else size


def weights_for(cell, system):
    """`{name: array}`, with which a cell of that size has the system."""
    make = _lru_weights if isinstance(cell, LRUCell) else _s5_weights
    return make(cell, system)


def _lru_weights(cell, system):
    logs, B = system.log_eigenvalues, system.B
    nu = np.clip(-logs.real, _LEAST, 1 / _LEAST)
    theta = np.clip(np.mod(logs.imag, 2 * math.pi), _LEAST, None)
    weights = {
        "stable_exp": lambda: {"nu_log": np.log(nu), "theta_log": np.log(theta)},
        "exp": lambda: {"nu": nu, "theta": theta},
        "real_imag": lambda: _parts("lambda", np.exp(logs)),
    }[cell.parameterization]()
    if cell.normalize:
        gamma = np.sqrt(-np.expm1(-2 * nu))
        weights["gamma_log"] = np.log(gamma)
        B = B / gamma
    return {**weights, **_parts("B", B), **_parts("C", system.C)}


def _s5_weights(cell, system):
    logs = system.log_eigenvalues
    old = keras.ops.convert_to_numpy(cell.log_delta).astype("float64")
    # Δ is free where Λ Δ is given. Small enough for eigenvalues that are clipped.
    delta = np.minimum(np.exp(old.mean()), -logs.real / 1.001e-4)
    continuous = logs / delta
    weights = {**_parts("lambda", continuous), "log_delta": np.log(delta)}
    B = system.B * continuous / np.expm1(logs)
    C = system.C / (2.0 if cell.conjugate_symmetry else 1.0)
    return {**weights, **_parts("B", B), **_parts("C", C)}


def _parts(name, z):
    return {f"{name}_re": z.real, f"{name}_im": z.imag}
