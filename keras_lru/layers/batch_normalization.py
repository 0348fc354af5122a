"""Batch normalization over the whole batch, on one device and on several."""

from typing import Any

import keras
from keras import ops

from keras_lru.backend import is_replicated, sum_over_replicas
from keras_lru.checks import is_number
from keras_lru.layers.recomputing import Recomputed
from keras_lru.ops.batch_statistics import normalize_by_batch

_LARGEST_MOMENTUM = 0.99


def check_momentum(name, value):
    """Raise `ValueError` unless `value` is a number in [0, 1) or `"auto"`."""
    if value != "auto" and not (is_number(value) and 0 <= value < 1):
        raise ValueError(
            f'`{name}` must be a number in [0, 1) or "auto". Received: {name}={value!r}'
        )


@keras.saving.register_keras_serializable(package="keras_lru")
class BatchNormalization(Recomputed, keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` over the batch of all replicas, masks included.

    Keras's own takes each replica's part of the batch under `tf.distribute`, or with
    `synchronized=True` all of it, but then JAX refuses it and masks are not
    synchronized. Here both backends train the same on one device and on several.

    Args:
        momentum: Momentum of the moving statistics: a number in [0, 1), as Keras's, or
            `"auto"`. Moving statistics lag behind by `1 / (1 - momentum)` steps: with
            0.99 a model evaluated after 100 steps is not the one that was trained.
            `"auto"` averages over about the last tenth of all steps so far, its
            momentum `(1 + t) / (10 + t)` after t steps, and never above 0.99. It
            counts the steps in a weight, `updates`.
        **kwargs: Arguments of `keras.layers.BatchNormalization`.

    Raises:
        ValueError: If `momentum` is neither, or Keras refuses another argument.

    Example:
        >>> import keras, numpy as np
        >>> from keras_lru.layers.batch_normalization import BatchNormalization
        >>> norm = BatchNormalization(epsilon=0.0)
        >>> y = norm(np.array([[[1.0], [3.0]]]), training=True)
        >>> keras.ops.convert_to_numpy(y).ravel().tolist()
        [-1.0, 1.0]
    """

    def __init__(self, momentum: float | str = 0.99, **kwargs: Any):
        check_momentum("momentum", momentum)
        self._is_automatic = momentum == "auto"
        if self._is_automatic and kwargs.get("renorm"):
            raise ValueError(
                '`momentum` must be a number with `renorm`. Received: momentum="auto", '
                "renorm=True"
            )
        super().__init__(
            momentum=_LARGEST_MOMENTUM if self._is_automatic else momentum, **kwargs
        )
        self.updates = None

    def build(self, input_shape):
        super().build(input_shape)
        if self._is_automatic:
            self.updates = self.add_weight(
                shape=(),
                name="updates",
                initializer="zeros",
                trainable=False,
                autocast=False,
            )

    def call(self, inputs, training=None, mask=None):
        as_keras = getattr(self, "renorm", False) or (
            mask is not None and not self._is_automatic
        )
        if as_keras or not (training and self.trainable):
            return super().call(inputs, training=training, mask=mask)
        inputs = ops.cast(inputs, keras.backend.result_type(inputs.dtype, "float32"))
        if mask is None and not is_replicated() and self._is_over_features(inputs):
            outputs, mean, variance = self._by_batch(inputs)
        else:
            mean, variance = self._moments(inputs, mask)
            outputs = ops.batch_normalization(
                inputs,
                mean,
                variance,
                self.axis,
                offset=self._cast(self.beta, inputs),
                scale=self._cast(self.gamma, inputs),
                epsilon=self.epsilon,
            )
        momentum = self._next_momentum()
        for moving, new in (
            (self.moving_mean, mean),
            (self.moving_variance, variance),
        ):
            old = ops.cast(moving, new.dtype)
            moving.assign(new + ops.cast(momentum, new.dtype) * (old - new))
        return ops.cast(outputs, self.compute_dtype)

    def _next_momentum(self):
        if not self._is_automatic:
            return self.momentum
        step = ops.convert_to_tensor(self.updates)
        momentum = ops.minimum((1.0 + step) / (10.0 + step), self.momentum)
        self.updates.assign(step + 1.0)
        return momentum

    def _is_over_features(self, inputs):
        return self.axis in (-1, len(inputs.shape) - 1)

    def _cast(self, weight, inputs):
        return None if weight is None else ops.cast(weight, inputs.dtype)

    def _by_batch(self, inputs):
        """Outputs, mean and variance, by a gradient of our own."""
        scale, offset = (self._cast(x, inputs) for x in (self.gamma, self.beta))
        shape = inputs.shape[-1:]
        if scale is None:
            scale = ops.ones(shape, dtype=inputs.dtype)
        if offset is None:
            offset = ops.zeros(shape, dtype=inputs.dtype)
        return normalize_by_batch(inputs, scale, offset, self.epsilon)

    def _moments(self, inputs, mask):
        if not is_replicated():
            return super()._moments(inputs, mask)
        weights = ops.ones_like(inputs[..., :1])
        if mask is not None:
            weights = weights * ops.expand_dims(ops.cast(mask, inputs.dtype), -1)
        # A batch with every step masked has no mean: zero, as Keras has it.
        count = ops.maximum(sum_over_replicas(ops.sum(weights)), 1.0)
        mean = self._sum(inputs * weights) / count
        return mean, self._sum(ops.square(inputs - mean) * weights) / count

    def _sum(self, x):
        return sum_over_replicas(ops.sum(x, axis=self._reduction_axes))

    def get_config(self):
        config = super().get_config()
        if self._is_automatic:
            config["momentum"] = "auto"
        return config
