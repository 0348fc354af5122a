"""Initializers of the recurrence: eigenvalues on a ring, and their normalization.

Lemma 2 of the paper: with `u1, u2` uniform on [0, 1],
`|λ|² = u1 (r_max² − r_min²) + r_min²` and `arg λ = max_phase · u2` give eigenvalues
uniform on the ring (a slice of it, for a `max_phase` below 2π).

`RingMagnitude` and `Gamma` with the same ring and the same seed describe the same
eigenvalues, so a layer can create the one without reading the other.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_lru.backend import compiled
from keras_lru.checks import check_choice, is_number
from keras_lru.initializers.seeds import check_seed, draw_seed

_EPSILON = float(np.finfo(np.float32).eps)
# Keeps log θ finite at zero phase.
_SMALLEST_ANGLE = float(np.finfo(np.float32).tiny)
# λ at the origin would need an infinite ν; this is |λ|² of the closest that is used.
_SMALLEST_SQUARE = 1e-30


def check_ring(r_min, r_max, names=("r_min", "r_max")):
    """Raise `ValueError` unless `0 <= r_min <= r_max <= 1`."""
    smaller, larger = names
    for name, value in ((smaller, r_min), (larger, r_max)):
        if not (is_number(value) and 0 <= value <= 1):
            raise ValueError(
                f"`{name}` must be a number in [0, 1]. Received: {name}={value!r}"
            )
    if r_min > r_max:
        raise ValueError(
            f"`{smaller}` must not be larger than `{larger}`. "
            f"Received: {smaller}={r_min}, {larger}={r_max}"
        )


def check_max_phase(max_phase):
    """Raise `ValueError` unless `max_phase` is a finite number of at least 0."""
    if not (is_number(max_phase) and max_phase >= 0):
        raise ValueError(
            "`max_phase` must be a finite number >= 0, in radians. "
            f"Received: max_phase={max_phase!r}"
        )


# Each is one program: compiling an operation alone takes as long as all of them.


@compiled
def _between(u, span, outside):
    return ops.clip(outside + u * span, _EPSILON, 1.0)


@compiled
def _magnitude(one_minus_square, *, form):
    square = ops.clip(1.0 - one_minus_square, _SMALLEST_SQUARE, 1.0)
    # log1p keeps the digits near the unit circle, log those near the origin.
    nu = ops.where(
        one_minus_square < 0.5,
        -0.5 * ops.log1p(-ops.clip(one_minus_square, 0.0, 0.5)),
        -0.5 * ops.log(square),
    )
    if form == "nu":
        return nu
    return ops.log(nu) if form == "log_nu" else ops.exp(-nu)


class _Ring(keras.initializers.Initializer):
    """A ring, a seed, and the distance of each eigenvalue from the unit circle."""

    def __init__(self, r_min: float = 0.0, r_max: float = 1.0, seed: int | None = None):
        check_ring(r_min, r_max)
        self.r_min = float(r_min)
        self.r_max = float(r_max)
        self.seed = check_seed(seed)
        self._drawn_seed = draw_seed(self.seed)

    def _one_minus_square(self, shape, dtype):
        """`1 − |λ|²`, without the cancellation of computing `|λ|²` first."""
        u = keras.random.uniform(shape, seed=self._drawn_seed, dtype=dtype or "float32")
        span = (self.r_max - self.r_min) * (self.r_max + self.r_min)
        outside = (1.0 - self.r_max) * (1.0 + self.r_max)
        return _between(u, span, outside)

    def get_config(self):
        return {"r_min": self.r_min, "r_max": self.r_max, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_lru")
class RingMagnitude(_Ring):
    """Magnitudes of eigenvalues uniform on a ring (Lemma 2 of the paper).

    Finite for every legal ring: `r_min = 0`, `r_max = 1` and `r_min = r_max` included.

    Args:
        r_min: Inner radius, in `[0, r_max]`.
        r_max: Outer radius, in `[r_min, 1]`.
        form: What the values are: `"log_nu"` for `log ν`, `"nu"` for `ν = −log|λ|`,
            `"modulus"` for `|λ|`.
        seed: Integer, or `None` for a random one, fixed at construction.

    Call arguments:
        shape: Shape of the result, usually `(state_size,)`.
        dtype: Dtype of the result; `None` for float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_lru.initializers import RingMagnitude
    >>> nu_log = np.array(RingMagnitude(0.9, 0.99, seed=1)((1000,)))
    >>> modulus = np.exp(-np.exp(nu_log))
    >>> bool(modulus.min() >= 0.9 - 1e-5 and modulus.max() <= 0.99 + 1e-5)
    True
    """

    FORMS = ("log_nu", "nu", "modulus")

    def __init__(
        self,
        r_min: float = 0.0,
        r_max: float = 1.0,
        form: str = "log_nu",
        seed: int | None = None,
    ):
        super().__init__(r_min, r_max, seed)
        check_choice("form", form, self.FORMS)
        self.form = form

    def __call__(self, shape, dtype=None):
        return _magnitude(self._one_minus_square(shape, dtype), form=self.form)

    def get_config(self):
        return {**super().get_config(), "form": self.form}


@keras.saving.register_keras_serializable(package="keras_lru")
class Gamma(_Ring):
    """`γ_log = log sqrt(1 − |λ|²)` of the eigenvalues of a `RingMagnitude`.

    Section 3.4 of the paper: the factor that gives the state about the variance of the
    input whatever the ring. Give it the ring and the seed of the `RingMagnitude`.

    Args:
        r_min: Inner radius, in `[0, r_max]`.
        r_max: Outer radius, in `[r_min, 1]`.
        seed: Integer: the seed of the `RingMagnitude`.

    Call arguments:
        shape: Shape of the result, usually `(state_size,)`.
        dtype: Dtype of the result; `None` for float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_lru.initializers import Gamma, RingMagnitude
    >>> modulus = np.array(RingMagnitude(0.5, 0.9, "modulus", seed=1)((3,)))
    >>> gamma = np.exp(np.array(Gamma(0.5, 0.9, seed=1)((3,))))
    >>> bool(np.allclose(gamma, np.sqrt(1 - modulus**2), atol=1e-5))
    True
    """

    def __call__(self, shape, dtype=None):
        return 0.5 * ops.log(self._one_minus_square(shape, dtype))


@keras.saving.register_keras_serializable(package="keras_lru")
class RingPhase(keras.initializers.Initializer):
    """Phases of eigenvalues uniform on `[0, max_phase]` (Lemma 2 of the paper).

    Args:
        max_phase: Largest phase, in radians, at least 0.
        form: What the values are: `"log_theta"` for `log θ`, `"theta"` for `θ`.
        seed: Integer, or `None` for a random one, fixed at construction.

    Call arguments:
        shape: Shape of the result, usually `(state_size,)`.
        dtype: Dtype of the result; `None` for float32.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> import numpy as np
    >>> from keras_lru.initializers import RingPhase
    >>> theta = np.exp(np.array(RingPhase(0.3, seed=1)((1000,))))
    >>> bool(theta.min() >= 0 and theta.max() <= 0.3)
    True
    """

    FORMS = ("log_theta", "theta")

    def __init__(
        self,
        max_phase: float = 2 * math.pi,
        form: str = "log_theta",
        seed: int | None = None,
    ):
        check_max_phase(max_phase)
        check_choice("form", form, self.FORMS)
        self.max_phase = float(max_phase)
        self.form = form
        self.seed = check_seed(seed)
        self._drawn_seed = draw_seed(self.seed)

    def __call__(self, shape, dtype=None):
        u = keras.random.uniform(shape, seed=self._drawn_seed, dtype=dtype or "float32")
        theta = u * self.max_phase
        if self.form == "theta":
            return theta
        # u = 0 is drawn once in 2²³ times.
        smallest = max(self.max_phase * 1e-8, _SMALLEST_ANGLE)
        return ops.log(ops.clip(theta, smallest, np.inf))

    def get_config(self):
        return {"max_phase": self.max_phase, "form": self.form, "seed": self.seed}


@keras.saving.register_keras_serializable(package="keras_lru")
class RingCartesian(keras.initializers.Initializer):
    """Real or imaginary parts of eigenvalues uniform on a ring.

    Args:
        r_min: Inner radius, in `[0, r_max]`.
        r_max: Outer radius, in `[r_min, 1]`.
        max_phase: Largest phase, in radians.
        part: `"real"` or `"imag"`.
        modulus_seed: Integer, the same for both parts.
        phase_seed: Integer, the same for both parts.
    """

    def __init__(self, r_min, r_max, max_phase, part, modulus_seed, phase_seed):
        self.modulus = RingMagnitude(r_min, r_max, "modulus", modulus_seed)
        self.phase = RingPhase(max_phase, "theta", phase_seed)
        check_choice("part", part, ("real", "imag"))
        self.part = part

    def __call__(self, shape, dtype=None):
        projection = ops.cos if self.part == "real" else ops.sin
        return self.modulus(shape, dtype) * projection(self.phase(shape, dtype))

    def get_config(self):
        return {
            "r_min": self.modulus.r_min,
            "r_max": self.modulus.r_max,
            "max_phase": self.phase.max_phase,
            "part": self.part,
            "modulus_seed": self.modulus.seed,
            "phase_seed": self.phase.seed,
        }
