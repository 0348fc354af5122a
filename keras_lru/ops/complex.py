"""Complex numbers of real tensors, so that they run, differentiate and export anywhere.

- `Complex`: a real and an imaginary part. What is written with `+` and `*` is the same
  for it and for a real tensor.
- `Polar`: numbers by `log|z|` and `arg z`, from which their powers are taken.
- *Packed*: one real tensor whose last axis holds the real parts, then the imaginary
  ones. Scans, and the products before and after them, hold states so.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_lru.backend import arctan2, expm1, sine_and_cosine
from keras_lru.backend.types import Tensor

# Exponents up to this are taken from the polar form, larger ones by multiplication.
_MAX_POLAR_EXPONENT = 256
# 2π as a sum, of whose first part and a fraction of ten bits the product is exact.
_TURN = (6.28125, math.tau - 6.28125)
# ±80 keeps exp() and its products with any length finite in float32.
_LOG_LIMIT = 80.0


class Complex(NamedTuple):
    """Complex numbers, as two tensors of one shape."""

    real: Tensor
    imag: Tensor

    def __add__(self, other: "Complex") -> "Complex":  # type: ignore[override]
        if not isinstance(other, Complex):
            return NotImplemented
        return Complex(self.real + other.real, self.imag + other.imag)

    def __mul__(self, other: "Complex") -> "Complex":  # type: ignore[override]
        if not isinstance(other, Complex):
            return NotImplemented
        return Complex(
            self.real * other.real - self.imag * other.imag,
            self.real * other.imag + self.imag * other.real,
        )

    def map(self, function: Callable[[Tensor], Tensor]) -> "Complex":
        """The two tensors that `function` makes of the two parts."""
        return Complex(function(self.real), function(self.imag))


class Polar(NamedTuple):
    """Complex numbers `exp(log_modulus + i·angle)`, as two tensors of one shape."""

    log_modulus: Tensor
    angle: Tensor

    def conjugate(self) -> "Polar":
        """The conjugate numbers."""
        return Polar(self.log_modulus, -self.angle)

    def power(self, exponent: int) -> Complex:
        """The numbers to the power of a non-negative integer.

        Exponents up to 256 come straight from the polar form and are good to the last
        bits; larger ones are products of those, which loses less than a product of
        `exponent` rounded factors.
        """
        if exponent <= _MAX_POLAR_EXPONENT:
            return self.powers([exponent]).map(lambda x: x[0])
        half, odd = divmod(exponent, 2)
        root = self.power(half)
        return root * root * self.power(1) if odd else root * root

    def real_power(self, exponent: Tensor | float) -> Complex:
        """`z**exponent` for real exponents.

        Args:
            exponent: Real numbers that broadcast with these.
        """
        modulus = ops.exp(exponent * self.log_modulus)
        sine, cosine = sine_and_cosine(_half_phase(self.angle, exponent))
        twice = 2.0 * sine
        return Complex(modulus * (1.0 - twice * sine), modulus * (twice * cosine))

    def power_minus_one(self, exponent: Tensor | float) -> Complex:
        """`z**exponent − 1` for real exponents, without cancellation near zero.

        Args:
            exponent: Real numbers that broadcast with these.
        """
        growth = expm1(exponent * self.log_modulus)
        modulus = growth + 1.0
        sine, cosine = sine_and_cosine(_half_phase(self.angle, exponent))
        # cos(y) − 1 = −2 sin²(y/2)
        twice = 2.0 * sine
        return Complex(growth - modulus * (twice * sine), modulus * (twice * cosine))

    def powers(self, exponents: Sequence[int], stride: int = 1) -> Complex:
        """The numbers to the power of `stride·j` for each `j`, along a new first axis.

        Args:
            exponents: Non-negative integers `j`.
            stride: Positive integer.
        """
        if stride > _MAX_POLAR_EXPONENT:
            return _table(self.power(stride), exponents)
        # Lists and not NumPy's arrays, which TorchDynamo would trace.
        steps = [stride * j for j in exponents]
        if max(steps, default=0) > _MAX_POLAR_EXPONENT:
            many = [j // _MAX_POLAR_EXPONENT for j in steps]
            few = [j % _MAX_POLAR_EXPONENT for j in steps]
            root = self.power(_MAX_POLAR_EXPONENT)
            return self.powers(few) * _table(root, many)
        j = ops.convert_to_tensor(steps, dtype=self.log_modulus.dtype)[:, None]
        modulus = ops.exp(j * self.log_modulus)
        powers = _unit(self.angle, j).map(lambda x: modulus * x)
        # One tensor, seen in another shape: the sines are then computed once, where XLA
        # on a CPU would compute them in every product, for each number of B and C.
        powers = unpack(ops.expand_dims(pack(powers), 1))
        return powers.map(lambda x: ops.squeeze(x, 1))


def _unit(angle, exponent):
    """`exp(i·exponent·angle)` without the rounding of a large product."""
    # The coarse part has few enough bits for its product with the exponent to be exact.
    coarse = ops.stop_gradient(ops.round(angle * 1024.0) / 1024.0)
    fine = exponent * (angle - coarse)
    coarse = exponent * coarse
    return Complex(ops.cos(coarse), ops.sin(coarse)) * Complex(
        ops.cos(fine), ops.sin(fine)
    )


def _half_phase(angle, exponent):
    """Half of `exponent·angle` less whole turns, as exact for large exponents."""
    turns = ops.stop_gradient(ops.round(angle * (1024.0 / math.tau)) / 1024.0)
    rest = angle - turns * _TURN[0] - turns * _TURN[1]
    coarse = exponent * turns
    coarse = coarse - ops.stop_gradient(ops.round(coarse))
    turned = coarse + exponent * (rest / math.tau)
    return math.pi * (turned - ops.stop_gradient(ops.round(turned)))


def _table(a, exponents):
    """Powers of `a` by non-negative integers, each of few products."""
    factor = a.map(lambda x: x[None])
    table = Complex(ops.ones_like(factor.real), ops.zeros_like(factor.imag))
    while table.real.shape[0] <= max(exponents):
        table = Complex(*map(ops.concatenate, zip(table, factor * table, strict=True)))
        factor = factor * factor
    return table.map(lambda x: ops.take(x, list(exponents), axis=0))


def to_polar(z: Complex) -> Polar:
    """The polar form; value and gradient are finite at zero too."""
    tiny = float(np.finfo(np.float32).tiny)
    squared = z.real * z.real + z.imag * z.imag
    # At zero the gradient of arctan2 is 0/0; there, any other number does.
    real = ops.where(squared < tiny, ops.ones_like(z.real), z.real)
    return Polar(0.5 * ops.log(ops.clip(squared, tiny, np.inf)), arctan2(z.imag, real))


def conjugate(x: Complex | Tensor) -> Complex | Tensor:
    """The conjugate of complex numbers; real ones are their own."""
    return Complex(x.real, -x.imag) if isinstance(x, Complex) else x


def pack(z: Complex | Tensor) -> Tensor:
    """Join real and imaginary parts along the last axis; real numbers have one part."""
    return ops.concatenate(z, axis=-1) if isinstance(z, Complex) else z


def unpack(x: Tensor) -> Complex:
    """Split a packed tensor into its real and imaginary parts."""
    return Complex(*ops.split(x, 2, axis=-1))


def safe_exp(x: Tensor) -> Tensor:
    """`exp` whose value and gradient stay finite for every finite `x`."""
    return ops.exp(ops.clip(x, -_LOG_LIMIT, _LOG_LIMIT))
