"""Initializers of the continuous-time baselines S4D and S5: HiPPO, and timescales.

HiPPO-LegS (Gu et al., 2020) is the matrix of a system whose state holds the Legendre
coefficients of its input's past. It is the sum of a normal matrix, HiPPO-N, and one of
rank 1, and HiPPO-N has orthonormal eigenvectors (S4D, section 3; S5, section 3.2).
"""

import math

import keras
import numpy as np
from keras import ops

from keras_lru.checks import check_choice, check_positive_integer, is_number
from keras_lru.initializers.seeds import check_seed, draw_seed


def hippo_legs(n):
    """The HiPPO-LegS matrix of `n` states, float64 `(n, n)`."""
    root = np.sqrt(2 * np.arange(n) + 1)
    return -np.tril(np.outer(root, root), -1) - np.diag(np.arange(n) + 1.0)


def hippo_normal(n):
    """Eigenvalues and eigenvectors of HiPPO-N, the normal part of HiPPO-LegS.

    Args:
        n: Positive integer, the number of states.

    Returns:
        `(eigenvalues, V)`, complex128 `(n,)` and unitary `(n, n)`: the matrix is
        `V @ diag(eigenvalues) @ V.conj().T`. Imaginary parts ascend; for an even `n`
        the second half conjugates the first.
    """
    root = np.sqrt(np.arange(n) + 0.5)
    # What is left of HiPPO-N is skew-symmetric: −i times it is Hermitian.
    skew = hippo_legs(n) + np.outer(root, root) + 0.5 * np.eye(n)
    frequencies, V = np.linalg.eigh(-1j * skew)
    return -0.5 + 1j * frequencies, V


def _legs(n):
    return hippo_normal(2 * n)[0][n:]


def _lin(n):
    return -0.5 + 1j * math.pi * np.arange(n)


def _inv(n):
    N = 2 * n
    return -0.5 + 1j * N / math.pi * (N / (2 * np.arange(n) + 1) - 1)


# Each gives the n of 2n eigenvalues that have no negative imaginary part.
SPECTRA = {"lin": _lin, "inv": _inv, "legs": _legs}
_PARTS = {
    "re": np.real,
    "im": np.imag,
    "nu_log": lambda eigenvalues: np.log(-eigenvalues.real),
}


@keras.saving.register_keras_serializable(package="keras_lru")
class ContinuousEigenvalues(keras.initializers.Initializer):
    """Eigenvalues of a continuous-time diagonal system (Gu et al., 2022).

    Section 4 of [On the Parameterization and Initialization of Diagonal State Space
    Models](https://arxiv.org/abs/2206.11893). Of N eigenvalues in conjugate pairs,
    those N/2 that have no negative imaginary part.

    Args:
        spectrum: `"lin"` for `−½ + iπn`, `"inv"` for `−½ + i(N/π)(N/(2n+1) − 1)`, or
            `"legs"` for the eigenvalues of HiPPO-N.
        part: What the values are: `"re"`, `"im"`, or `"nu_log"` for `log(−Re Λ)`.

    Call arguments:
        shape: `(…, N/2)`: the same along all axes but the last.
        dtype: Dtype of the result; `None` for float32.

    Raises:
        ValueError: If an argument is not one of the values above.

    Example:

    >>> import numpy as np
    >>> from keras_lru.initializers import ContinuousEigenvalues
    >>> np.array(ContinuousEigenvalues("lin", "im")((1, 3))).round(2)
    array([[0.  , 3.14, 6.28]], dtype=float32)
    """

    def __init__(self, spectrum: str = "lin", part: str = "im"):
        check_choice("spectrum", spectrum, SPECTRA)
        check_choice("part", part, _PARTS)
        self.spectrum = spectrum
        self.part = part

    def __call__(self, shape, dtype=None):
        values = _PARTS[self.part](SPECTRA[self.spectrum](shape[-1]))
        values = np.ascontiguousarray(np.broadcast_to(values, shape))
        return ops.convert_to_tensor(values, dtype or "float32")

    def get_config(self):
        return {"spectrum": self.spectrum, "part": self.part}


@keras.saving.register_keras_serializable(package="keras_lru")
class LogTimescale(keras.initializers.Initializer):
    """Logarithms of step sizes Δ, uniform on `[log dt_min, log dt_max]`.

    Section 3.4 of [S5](https://arxiv.org/abs/2208.04933). A state remembers about 1/Δ
    steps.

    Args:
        dt_min: Smallest Δ, positive.
        dt_max: Largest Δ, at least `dt_min`.
        seed: Integer, or `None` for a random one, fixed at construction.

    Call arguments:
        shape: Shape of the result.
        dtype: Dtype of the result; `None` for float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_lru.initializers import LogTimescale
    >>> delta = np.exp(np.array(LogTimescale(0.01, 0.1, seed=1)((1000,))))
    >>> bool(delta.min() >= 0.0099 and delta.max() <= 0.1001)
    True
    """

    def __init__(
        self, dt_min: float = 0.001, dt_max: float = 0.1, seed: int | None = None
    ):
        check_timescales(dt_min, dt_max)
        self.dt_min = float(dt_min)
        self.dt_max = float(dt_max)
        self.seed = check_seed(seed)
        self._drawn_seed = draw_seed(self.seed)

    def __call__(self, shape, dtype=None):
        return keras.random.uniform(
            shape,
            math.log(self.dt_min),
            math.log(self.dt_max),
            seed=self._drawn_seed,
            dtype=dtype or "float32",
        )

    def get_config(self):
        return {"dt_min": self.dt_min, "dt_max": self.dt_max, "seed": self.seed}


def check_timescales(dt_min, dt_max):
    """Raise `ValueError` unless `0 < dt_min <= dt_max < inf`."""
    for name, value in (("dt_min", dt_min), ("dt_max", dt_max)):
        if not (is_number(value) and value > 0):
            raise ValueError(
                f"`{name}` must be a finite number > 0. Received: {name}={value!r}"
            )
    if dt_min > dt_max:
        raise ValueError(
            "`dt_min` must not be larger than `dt_max`. "
            f"Received: dt_min={dt_min}, dt_max={dt_max}"
        )


def check_conjugate_pairs(state_size, blocks=1):
    """Raise `ValueError` unless each block holds whole conjugate pairs."""
    state_size = check_positive_integer("state_size", state_size)
    if state_size % (2 * blocks):
        raise ValueError(
            "`state_size` must be divisible by "
            + ("2" if blocks == 1 else f"2 · `blocks` = {2 * blocks}")
            + f", for conjugate pairs. Received: state_size={state_size}"
        )
    return state_size
