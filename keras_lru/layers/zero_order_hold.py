"""The zero-order hold: from x' = Λ x + B u to x_k = Λ̄ x_{k-1} + B̄ u_k."""

from keras import ops

from keras_lru.backend import expm1
from keras_lru.ops.complex import Complex, Polar

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
    """Λ̄ = exp(ΛΔ), a `Polar`, for a `Complex` Λ."""
    return Polar(eigenvalues.real * delta, eigenvalues.imag * delta)


def input_gain(eigenvalues, delta):
    """`Λ^{-1}(Λ̄ − I)`, which turns B into B̄, a `Complex`; Δ where Λ is zero."""
    real, imag = discretize(eigenvalues, delta)
    square = real * real + imag * imag
    small = square < _SMALL**2
    # Both forms are computed everywhere, and where one is not used its gradient must
    # be finite all the same.
    safe = ops.where(small, ops.ones_like(square), square)
    numerator = _expm1(real, imag)
    quotient = (
        (numerator.real * real + numerator.imag * imag) / safe,
        (numerator.imag * real - numerator.real * imag) / safe,
    )
    tiny = Complex(real, imag).map(lambda x: ops.where(small, x, ops.zeros_like(x)))
    series = _series(tiny)
    return Complex(
        *(delta * ops.where(small, a, b) for a, b in zip(series, quotient, strict=True))
    )


def _expm1(real, imag):
    """`exp(z) − 1` without cancellation."""
    modulus, half = ops.exp(real), ops.sin(0.5 * imag)
    # cos(y) − 1 = −2 sin²(y/2)
    return Complex(expm1(real) - 2.0 * modulus * half * half, modulus * ops.sin(imag))


def _series(z):
    """`1 + z/2 (1 + z/3 (1 + …))`."""
    one, zero = ops.ones_like(z.real), ops.zeros_like(z.imag)
    result = Complex(one, zero)
    for k in range(_TERMS, 1, -1):
        real, imag = z * result
        result = Complex(one + real / k, imag / k)
    return result
