"""Normalization by the statistics of a batch, which keeps nothing but its inputs."""

import math

from keras import ops

from keras_lru.backend import function_with_gradient
from keras_lru.backend.types import Tensor


def normalize_by_batch(
    x: Tensor, scale: Tensor, offset: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`scale · (x − mean) / √(variance + ε) + offset`, over all axes but the last.

    Args:
        x: Floating tensor `(…, features)`.
        scale: `(features,)`.
        offset: `(features,)`.
        epsilon: ε.

    Returns:
        `(outputs, mean, variance)`: like `x`, and twice `(features,)`.
    """
    axes = tuple(range(len(x.shape) - 1))

    def slope(variance):
        return ops.rsqrt(variance + epsilon)

    def forward(x, scale, offset):
        mean, variance = ops.moments(x, axes=axes)
        factor = scale * slope(variance)
        outputs = x * factor + (offset - mean * factor)
        return (outputs, mean, variance), (x, scale, mean, variance)

    def backward(saved, upstream, d_mean, d_variance):
        x, scale, mean, variance = saved
        count = ops.cast(math.prod(ops.shape(x)[:-1]), x.dtype)
        centred, inverse = x - mean, slope(variance)
        d_offset = ops.sum(upstream, axis=axes)
        d_scale = inverse * ops.sum(upstream * centred, axis=axes)
        factor = scale * inverse
        constant = (d_mean - factor * d_offset) / count
        linear = (2.0 * d_variance - factor * inverse * d_scale) / count
        return factor * upstream + linear * centred + constant, d_scale, d_offset

    return function_with_gradient(forward, backward)(x, scale, offset)
