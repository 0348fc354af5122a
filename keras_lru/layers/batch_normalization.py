"""Batch normalization over the whole batch, on one device and on several."""

import keras
from keras import ops

from keras_lru.backend import is_replicated, sum_over_replicas


@keras.saving.register_keras_serializable(package="keras_lru")
class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the batch of all replicas, masks included.

    Keras's own takes each replica's part of the batch under `tf.distribute`, or with
    `synchronized=True` all of it, but then JAX refuses it and masks are not
    synchronized. Here both backends train the same on one device and on several.

    Args:
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Example:
        >>> import keras, numpy as np
        >>> from keras_lru.layers.batch_normalization import BatchNormalization
        >>> norm = BatchNormalization(epsilon=0.0)
        >>> y = norm(np.array([[[1.0], [3.0]]]), training=True)
        >>> keras.ops.convert_to_numpy(y).ravel().tolist()
        [-1.0, 1.0]
    """

    def _moments(self, inputs, mask):
        if not is_replicated():
            return super()._moments(inputs, mask)
        weights = ops.ones_like(inputs[..., :1])
        if mask is not None:
            weights = weights * ops.cast(mask, inputs.dtype)[..., None]
        # A batch with every step masked has no mean: zero, as Keras has it.
        count = ops.maximum(sum_over_replicas(ops.sum(weights)), 1.0)
        mean = self._sum(inputs * weights) / count
        return mean, self._sum(ops.square(inputs - mean) * weights) / count

    def _sum(self, x):
        return sum_over_replicas(ops.sum(x, axis=self._reduction_axes))
