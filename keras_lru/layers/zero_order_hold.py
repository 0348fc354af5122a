"""The zero-order hold: from x' = Λ x + B u to x_k = Λ̄ x_{k-1} + B̄ u_k."""

from keras import ops

from keras_lru.ops import complex as cx

# Below, (exp(z) − 1)/z is taken from its series, of which this many terms are exact
# to float64: the quotient's gradient would cancel.
_SMALL = 1e-2
_TERMS = 7
# A step from 1e-17 to 5e8 times the unit of time; its products with Λ stay finite.
_LOG_DELTA_LIMITS = (-40.0, 20.0)


def step_size(log_delta):
    """Δ, positive and finite for every finite `log_delta`."""
    return ops.exp(ops.clip(log_delta, *_LOG_DELTA_LIMITS))


def discretize(eigenvalues, delta):
    """Λ̄ = exp(ΛΔ) in polar form: `(log|Λ̄|, arg Λ̄)`, for `(Re Λ, Im Λ)`."""
    return [part * delta for part in eigenvalues]


def input_gain(eigenvalues, delta):
    """`Λ^{-1}(Λ̄ − I)`, which turns B into B̄, as a pair; Δ where Λ is zero."""
    real, imag = z = discretize(eigenvalues, delta)
    square = real * real + imag * imag
    small = square < _SMALL**2
    # What is not used of the two must have a finite gradient too.
    safe = ops.where(small, ops.ones_like(square), square)
    real_1, imag_1 = _expm1(z)
    quotient = (
        (real_1 * real + imag_1 * imag) / safe,
        (imag_1 * real - real_1 * imag) / safe,
    )
    tiny = [ops.where(small, part, ops.zeros_like(part)) for part in z]
    return [
        delta * ops.where(small, a, b)
        for a, b in zip(_series(tiny), quotient, strict=True)
    ]


def _expm1(z):
    """`exp(z) − 1` without cancellation."""
    real, imag = z
    modulus, half = ops.exp(real), ops.sin(0.5 * imag)
    # cos(y) − 1 = −2 sin²(y/2)
    return ops.expm1(real) - 2.0 * modulus * half * half, modulus * ops.sin(imag)


def _series(z):
    """`1 + z/2 (1 + z/3 (1 + …))`."""
    one, zero = ops.ones_like(z[0]), ops.zeros_like(z[0])
    result = one, zero
    for k in range(_TERMS, 1, -1):
        real, imag = cx.multiply(z, result)
        result = one + real / k, imag / k
    return result
