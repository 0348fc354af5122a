"""Eigenvalues whose half-lives and periods are spread evenly on a logarithmic scale.

The paper's ring is uniform in area, so most of its eigenvalues are near the outer
radius, and the radii have to fit the task. Here each tenfold of memory gets as many
states, as S4 and S5 spread their step sizes, so that no radii are needed.
"""

import math

import keras
import numpy as np
from keras import ops

from keras_lru.checks import check_choice
from keras_lru.initializers.ring import check_max_phase, check_ring
from keras_lru.initializers.seeds import check_seed, draw_seed

# What radii of 0 and 1 stand for, which have no half-life to spread from, in steps.
_SHORTEST, _LONGEST = 1.0, 1000.0
# A state turns at least once while it forgets this many halves.
_HALVES_A_TURN = 16.0
# Smaller ones have no period in floats.
_SMALLEST_ANGLE = float(np.finfo(np.float32).tiny)
_GOLDEN = (math.sqrt(5) - 1) / 2


@keras.saving.register_keras_serializable(package="keras_lru")
class LogUniform(keras.initializers.Initializer):
    """One of the weights that eigenvalues spread evenly over all memories are made of.

    Half-lives `ln 2 / −ln|λ|` are spread evenly on a logarithmic scale, from that of
    `r_min` to that of `r_max`. Periods `2π / arg λ` are spread evenly on a logarithmic
    scale too, from the shortest to 16 half-lives: slower ones are not told from no
    oscillation. States go from the shortest memory to the longest, each drawn from its
    own part of the scale, and their periods follow a golden-section sequence, so that
    few states cover both.

    Instances with the same arguments but the `quantity` describe the same eigenvalues.

    Args:
        quantity: What the values are: `"log_nu"`, `"nu"` for ν = −log|λ|;
            `"log_theta"`, `"theta"` for θ = arg λ; `"gamma_log"` for
            log sqrt(1 − |λ|²); `"real"`, `"imag"` for the parts of λ.
        r_min: Smallest modulus, in [0, r_max]. 0 stands for a half-life of 1 step.
        r_max: Largest modulus, in [r_min, 1]. 1 stands for a half-life of 1 000 steps.
        max_phase: Largest phase in radians, at least 0. Above π it stands for π, two
            steps a turn: phases beyond are those of conjugates.
        seed: Integer, or `None` for a random one, fixed at construction.

    Call arguments:
        shape: Shape of the result, `(state_size,)`.
        dtype: Dtype of the result; `None` for float32.

    Raises:
        ValueError: If an argument is out of its range.

    References:
        [Gu et al., 2022](https://arxiv.org/abs/2206.11893), section 4.2, and [Smith et
        al., 2023](https://arxiv.org/abs/2208.04933), who spread step sizes so.

    Example:

    >>> import numpy as np
    >>> from keras_lru.initializers import LogUniform
    >>> nu = np.array(LogUniform("nu", seed=1)((300,)))
    >>> half_lives = np.log(2) / nu
    >>> [int(np.sum(half_lives < longest)) for longest in (10, 100, 1000.1)]
    [100, 200, 300]
    """

    QUANTITIES = ("log_nu", "nu", "log_theta", "theta", "gamma_log", "real", "imag")

    def __init__(
        self,
        quantity: str,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        seed: int | None = None,
    ):
        check_choice("quantity", quantity, self.QUANTITIES)
        check_ring(r_min, r_max)
        check_max_phase(max_phase)
        self.quantity = quantity
        self.r_min = float(r_min)
        self.r_max = float(r_max)
        self.max_phase = float(max_phase)
        self.seed = check_seed(seed)
        self._drawn_seed = draw_seed(self.seed)

    def __call__(self, shape, dtype=None):
        nu, theta = self._eigenvalues(math.prod(shape))
        values = {
            "log_nu": lambda: np.log(nu),
            "nu": lambda: nu,
            "log_theta": lambda: np.log(np.maximum(theta, _SMALLEST_ANGLE)),
            "theta": lambda: theta,
            "gamma_log": lambda: 0.5 * np.log(-np.expm1(-2 * nu)),
            "real": lambda: np.exp(-nu) * np.cos(theta),
            "imag": lambda: np.exp(-nu) * np.sin(theta),
        }[self.quantity]()
        return ops.convert_to_tensor(values.reshape(shape), dtype or "float32")

    def _eigenvalues(self, count):
        """ν and θ in float64, drawn by NumPy: the same on every backend."""
        rng = np.random.default_rng(self._drawn_seed % 2**64)
        shortest, longest = _half_lives(self.r_min, self.r_max)
        part = (np.arange(count) + rng.random(count)) / max(count, 1)
        half_lives = shortest * (longest / shortest) ** part
        if self.max_phase < _SMALLEST_ANGLE:
            return math.log(2) / half_lives, np.zeros(count)
        fastest = 2 * math.pi / min(self.max_phase, math.pi)
        slowest = np.maximum(_HALVES_A_TURN * half_lives, fastest)
        part = (np.arange(count) * _GOLDEN + rng.random()) % 1.0
        periods = fastest * (slowest / fastest) ** part
        return math.log(2) / half_lives, 2 * math.pi / periods

    def get_config(self):
        return {
            "quantity": self.quantity,
            "r_min": self.r_min,
            "r_max": self.r_max,
            "max_phase": self.max_phase,
            "seed": self.seed,
        }


def _half_lives(r_min, r_max):
    """The shortest and the longest; what an edge stands for gives way to a radius."""
    shortest, longest = map(_half_life, (r_min, r_max))
    if r_min == 0:
        return min(shortest, longest), longest
    return shortest, max(shortest, longest)


def _half_life(modulus):
    if modulus == 0:
        return _SHORTEST
    return _LONGEST if modulus == 1 else -math.log(2) / math.log(modulus)
