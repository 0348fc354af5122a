"""Dropout of whole features, by a product with one small mask."""

import keras
from keras import ops


class SpatialDropout(keras.layers.SpatialDropout1D):
    """`keras.layers.SpatialDropout1D`, which makes no tensor of zeros to choose from.

    It drops the same features for the same seed. An infinity that is dropped is NaN.

    Args:
        rate: Fraction of the features to drop, in `[0, 1)`.
        **kwargs: Arguments of `keras.layers.SpatialDropout1D`.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers.spatial_dropout import SpatialDropout
    >>> y = SpatialDropout(0.5)(np.ones((1, 3, 8), "float32"), training=True)
    >>> sorted({float(x) for x in keras.ops.convert_to_numpy(y).ravel()} | {0.0, 2.0})
    [0.0, 2.0]
    """

    def call(self, inputs, training=False):
        """`(batch, time, features)`, of which each sequence drops its own features."""
        if not training or self.rate == 0:
            return inputs
        ones = ops.ones(self._get_noise_shape(inputs), dtype=inputs.dtype)
        return inputs * keras.random.dropout(ones, self.rate, seed=self.seed_generator)
