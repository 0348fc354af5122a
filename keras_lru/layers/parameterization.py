"""The paper's three parameterizations of the eigenvalues, as data and three functions.

Section 3.3: `real_imag` trains Re λ and Im λ, `exp` trains ν and θ of λ = exp(−ν + iθ),
`stable_exp` trains their logarithms, so that |λ| < 1 whatever the optimizer does.
"""

import keras
from keras import ops

from keras_lru.initializers import RingMagnitude, RingPhase
from keras_lru.ops import complex as cx


@keras.saving.register_keras_serializable(package="keras_lru")
class RingCartesian(keras.initializers.Initializer):
    """Real or imaginary parts of eigenvalues uniform on a ring.

    Args:
        r_min: Inner radius, in `[0, r_max]`.
        r_max: Outer radius, in `[r_min, 1]`.
        max_phase: Largest phase, in radians.
        part: `"real"` or `"imag"`.
        seed: Integer; the same for both parts.
    """

    def __init__(self, r_min, r_max, max_phase, part, seed):
        self.config = {
            "r_min": r_min,
            "r_max": r_max,
            "max_phase": max_phase,
            "part": part,
            "seed": seed,
        }
        self.modulus = RingMagnitude(r_min, r_max, "modulus", seed)
        self.phase = RingPhase(max_phase, "theta", seed + 1)
        self.projection = {"real": ops.cos, "imag": ops.sin}[part]

    def __call__(self, shape, dtype=None):
        return self.modulus(shape, dtype) * self.projection(self.phase(shape, dtype))

    def get_config(self):
        return dict(self.config)


def _stable_exp(nu_log, theta_log):
    return -cx.safe_exp(nu_log), cx.safe_exp(theta_log)


def _exp(nu, theta):
    return -nu, theta


def ring_initializers(parameterization, r_min, r_max, max_phase, seed):
    """`{weight name: initializer}` of the two weights of `parameterization`."""
    if parameterization == "real_imag":
        return {
            f"lambda_{name}": RingCartesian(r_min, r_max, max_phase, part, seed)
            for name, part in (("re", "real"), ("im", "imag"))
        }
    log = "log_" if parameterization == "stable_exp" else ""
    suffix = "_log" if log else ""
    return {
        f"nu{suffix}": RingMagnitude(r_min, r_max, f"{log}nu", seed),
        f"theta{suffix}": RingPhase(max_phase, f"{log}theta", seed + 1),
    }


# Each turns the two weights into (log|λ|, arg λ).
POLAR_FORMS = {"stable_exp": _stable_exp, "exp": _exp, "real_imag": cx.to_polar}
