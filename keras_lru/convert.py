"""Weights of other implementations, in the order in which this library keeps them."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from keras_lru.checks import check_shape

__all__ = ["from_minimal_lru"]

# In the order of `LRU.weights`, each with its axes there: N states, H features.
_MINIMAL_LRU = {
    "nu_log": "N",
    "theta_log": "N",
    "gamma_log": "N",
    "B_re": "NH",
    "B_im": "NH",
    "C_re": "HN",
    "C_im": "HN",
    "D": "H",
}


def from_minimal_lru(params: Mapping[str, ArrayLike]) -> list[np.ndarray]:
    """Weights for `LRU.set_weights` from the parameters of public Flax code.

    [minimal-LRU](https://github.com/NicolasZucchet/minimal-LRU) (N. Zucchet) has the
    parameters of the paper, with B and C as the paper writes them, matrices that are
    multiplied from the left. Keras multiplies from the right, so they are transposed.

    Args:
        params: Mapping of the parameters of one LRU: `nu_log`, `theta_log` and
            `gamma_log`, `(N,)`; `B_re` and `B_im`, `(N, H)`; `C_re` and `C_im`,
            `(H, N)`; `D`, `(H,)`. Arrays of NumPy or JAX, real, of any precision.

    Returns:
        The eight weights of `LRU(H, state_size=N)`, float64 arrays.

    Raises:
        TypeError: If `params` is not a mapping, or a parameter is not real numbers.
        ValueError: If a parameter is missing, unknown, or has the wrong shape.

    Example:

    >>> import keras, numpy as np
    >>> from keras_lru import LRU
    >>> from keras_lru.convert import from_minimal_lru
    >>> params = {name: np.zeros(3) for name in ("nu_log", "theta_log", "gamma_log")}
    >>> params.update(B_re=np.zeros((3, 2)), B_im=np.zeros((3, 2)))
    >>> params.update(C_re=np.zeros((2, 3)), C_im=np.zeros((2, 3)), D=np.ones(2))
    >>> layer = LRU(2, state_size=3)
    >>> layer.build((None, None, 2))
    >>> layer.set_weights(from_minimal_lru(params))
    >>> y = layer(np.full((1, 5, 2), 7.0, "float32"))
    >>> keras.ops.convert_to_numpy(y).tolist()
    [[7.0, 7.0]]
    """
    if not isinstance(params, Mapping):
        raise TypeError(
            f"`params` must be a mapping of parameters by name. Received: {params!r}"
        )
    missing = [name for name in _MINIMAL_LRU if name not in params]
    unknown = [name for name in params if name not in _MINIMAL_LRU]
    if missing or unknown:
        raise ValueError(
            f"`params` must have the parameters {', '.join(_MINIMAL_LRU)} of one LRU, "
            f"and no others. Received: missing {missing}, unknown {unknown}"
        )
    arrays = {name: _real(name, params[name]) for name in _MINIMAL_LRU}
    sizes = {}
    for name, axis in (("nu_log", "N"), ("D", "H")):
        check_shape(f"params[{name!r}]", arrays[name], (None,))
        sizes[axis] = arrays[name].size
    for name, axes in _MINIMAL_LRU.items():
        shape = tuple(sizes[axis] for axis in axes)
        check_shape(f"params[{name!r}]", arrays[name], shape)
    return [array.T for array in arrays.values()]


def _real(name, value):
    array = np.asarray(value)
    if array.dtype.kind not in "iufV":  # V: bfloat16, as JAX hands it over
        raise TypeError(
            f"`params[{name!r}]` must be an array of real numbers. "
            f"Received: dtype {array.dtype}"
        )
    return array.astype("float64")
