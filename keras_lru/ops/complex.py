"""Complex arithmetic on real tensors.

A complex tensor of `n` features is *packed*: one real tensor whose last axis holds the
`n` real parts, then the `n` imaginary parts. No backend sees a complex dtype, so all of
it differentiates, compiles and exports everywhere.
"""

import numpy as np
from keras import ops

# Exponents up to this are taken from the polar form, larger ones by multiplication.
_MAX_POLAR_EXPONENT = 256
# ±80 keeps exp() and its products with any length finite in float32.
_LOG_LIMIT = 80.0


def pack(real, imag):
    """Join real and imaginary parts along the last axis."""
    return ops.concatenate([real, imag], axis=-1)


def unpack(x):
    """Split a packed tensor into its real and imaginary parts."""
    return ops.split(x, 2, axis=-1)


def swap(x):
    """Exchange real and imaginary parts."""
    real, imag = unpack(x)
    return pack(imag, real)


def conjugate(x):
    """Negate the imaginary parts."""
    real, imag = unpack(x)
    return pack(real, -imag)


def factor(a):
    """`(direct, cross)`: `a · x` is `direct · x + cross · swap(x)`, for packed `a`.

    For a small `a`, broadcast to a large `x`: the cheapest form where nothing is fused.
    """
    real, imag = unpack(a)
    return pack(real, real), pack(-imag, imag)


def scale(a, x):
    """Product of a small packed `a`, broadcast, with a large packed `x`."""
    direct, cross = factor(a)
    return direct * x + cross * swap(x)


def multiply(a, b):
    """Complex product of two `(real, imag)` pairs, as a pair."""
    (a_re, a_im), (b_re, b_im) = a, b
    return a_re * b_re - a_im * b_im, a_re * b_im + a_im * b_re


def safe_exp(x):
    """`exp` whose value and gradient stay finite for every finite `x`."""
    return ops.exp(ops.clip(x, -_LOG_LIMIT, _LOG_LIMIT))


def to_polar(real, imag):
    """`(log|a|, arg a)` of a pair; value and gradient are finite at zero too."""
    tiny = float(np.finfo(np.float32).tiny)
    squared = real * real + imag * imag
    # At zero the gradient of arctan2 is 0/0; there, any other number does.
    real = ops.where(squared < tiny, ops.ones_like(real), real)
    return 0.5 * ops.log(ops.maximum(squared, tiny)), ops.arctan2(imag, real)


def _cos_sin(angle, exponent):
    """`cos(exponent·angle)` and `sin(…)` without the rounding of a large product."""
    # The coarse part has few enough bits for its product with the exponent to be exact.
    coarse = ops.stop_gradient(ops.round(angle * 1024.0) / 1024.0)
    fine = exponent * (angle - coarse)
    coarse = exponent * coarse
    return multiply((ops.cos(coarse), ops.sin(coarse)), (ops.cos(fine), ops.sin(fine)))


def power(log_modulus, angle, exponent: int):
    """Packed `a**exponent` of `a = exp(log_modulus + i·angle)`.

    Exponents up to 256 come straight from the polar form and are good to the last bits;
    larger ones are products of those, which loses less than a product of `exponent`
    rounded factors.
    """
    if exponent > _MAX_POLAR_EXPONENT:
        half, odd = divmod(exponent, 2)
        root = unpack(power(log_modulus, angle, half))
        result = multiply(root, root)
        if odd:
            result = multiply(result, unpack(power(log_modulus, angle, 1)))
        return pack(*result)
    return powers(log_modulus, angle, [exponent])[0]


def powers(log_modulus, angle, exponents, stride=1):
    """Packed powers `a**(stride·j)` for each `j` of `exponents`: `(len, 2·n)`."""
    largest = max(exponents, default=0)
    if stride * largest > _MAX_POLAR_EXPONENT:
        table = _products(power(log_modulus, angle, stride), largest)
        return ops.take(table, np.asarray(exponents, "int32"), axis=0)
    j = stride * np.asarray(exponents)[:, None]
    j = ops.convert_to_tensor(j, dtype=log_modulus.dtype)
    cos, sin = _cos_sin(angle, j)
    modulus = ops.exp(j * log_modulus)
    return pack(modulus * cos, modulus * sin)


def _products(a, largest):
    """Packed powers 0 … `largest` of a packed `a`, each of few products."""
    a = a[None]
    real, imag = unpack(a)
    table = pack(ops.ones_like(real), ops.zeros_like(imag))
    while table.shape[0] <= largest:
        table = ops.concatenate([table, scale(a, table)], axis=0)
        a = scale(a, a)
    return table
