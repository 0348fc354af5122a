"""Eigenvalues of all recurrences in a model, and what they say about its memory."""

from collections.abc import Mapping
from typing import TypeAlias

import keras
import numpy as np
from numpy.typing import ArrayLike

EigenvalueSource: TypeAlias = keras.layers.Layer | ArrayLike | Mapping[str, ArrayLike]
"""Where a plot takes eigenvalues from: a layer or a model, an array, or several."""


def find_eigenvalues(model: keras.layers.Layer) -> dict[str, np.ndarray]:
    """The eigenvalues of each recurrence in a model.

    A recurrence is a layer with a property `eigenvalues`, wherever it is: in a
    `Bidirectional`, a `keras_lru.layers.ResidualBlock`, a backbone, or as the cell of a
    `keras.layers.RNN`.

    Args:
        model: A model or a layer, built.

    Returns:
        `{path: eigenvalues}` in the order of the layers: the path of the recurrence in
        the model, and a complex NumPy array, one-dimensional.

    Raises:
        ValueError: If there is no recurrence in `model`, or one is not built.

    Example:
        >>> import keras
        >>> from keras_lru import LRU
        >>> from keras_lru.visualization import find_eigenvalues
        >>> lru = LRU(4, state_size=3, name="lru")
        >>> model = keras.Sequential([keras.Input((None, 2)), lru], name="model")
        >>> {name: values.shape for name, values in find_eigenvalues(model).items()}
        {'model/lru': (3,)}
    """
    found = {}
    for layer in _recurrences(model, set()):
        # A layer without weights may never be built, and have no path.
        path = name = layer.path or layer.name
        count = 1
        while name in found:
            count += 1
            name = f"{path}_{count}"
        found[name] = np.ravel(layer.eigenvalues)
    if not found:
        raise ValueError(
            "`model` must be or hold a layer that has `eigenvalues`, such as LRU. "
            f"Received: model={model.name!r}, which has none"
        )
    return found


def has_eigenvalues(layer):
    """Whether it is a recurrence, built or not."""
    return hasattr(type(layer), "eigenvalues")


def _recurrences(layer, seen):
    if id(layer) in seen:
        return
    seen.add(id(layer))
    if has_eigenvalues(layer):
        yield layer
        return
    for child in layer._flatten_layers(include_self=False, recursive=False):
        yield from _recurrences(child, seen)


def spectra(source: EigenvalueSource) -> dict[str, np.ndarray]:
    """`{name: eigenvalues}` of what the plotting functions take as `source`."""
    if isinstance(source, keras.layers.Layer):
        return find_eigenvalues(source)
    arrays = source if isinstance(source, Mapping) else {"": source}
    arrays = {str(name): np.ravel(values) for name, values in arrays.items()}
    if not arrays or any(
        not values.size or values.dtype.kind not in "iufc" for values in arrays.values()
    ):
        raise ValueError(
            "`source` must be a layer, a model, an array of eigenvalues, or a "
            f"dictionary of such arrays, not empty. Received: source={source!r}"
        )
    return arrays


def half_lives(eigenvalues: ArrayLike) -> np.ndarray:
    """Steps after which half of a state is forgotten, `ln 2 / −ln|λ|`.

    Args:
        eigenvalues: Array of complex or real numbers λ.

    Returns:
        Float64 array of the same shape: 0 for λ = 0, infinity for |λ| ≥ 1.

    Example:
        >>> from keras_lru.visualization import half_lives
        >>> half_lives([0.5, 0.25, 0.5**0.01, -1.0]).round(6).tolist()
        [1.0, 0.5, 100.0, inf]
    """
    modulus = np.abs(np.asarray(eigenvalues)).astype("float64")
    with np.errstate(divide="ignore"):
        rate = -np.log(modulus)
        return np.log(2) / np.maximum(rate, 0.0)


def phases(eigenvalues):
    """`|arg λ|`, in [0, π]: λ and its conjugate oscillate alike."""
    return np.abs(np.angle(eigenvalues))


QUANTITIES = {"modulus": np.abs, "half_life": half_lives, "phase": phases}
STATISTICS = {
    "min": 0.0,
    "q05": 0.05,
    "q25": 0.25,
    "median": 0.5,
    "q75": 0.75,
    "q95": 0.95,
    "max": 1.0,
}


def summarize(eigenvalues):
    """`{"modulus_min": …}`: each of `STATISTICS` of each of `QUANTITIES`.

    Quantiles are values that occur, as half-lives may be infinite.
    """
    summary = {}
    for quantity, measure in QUANTITIES.items():
        values = np.quantile(
            measure(eigenvalues), list(STATISTICS.values()), method="inverted_cdf"
        )
        for statistic, value in zip(STATISTICS, values, strict=True):
            summary[f"{quantity}_{statistic}"] = float(value)
    return summary
