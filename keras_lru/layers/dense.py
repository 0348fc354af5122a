"""Dense layers on sequences."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_lru")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, of sequences as a product of two matrices.

    Of three axes, XLA on a CPU makes transposed copies for the gradient of the kernel,
    which can cost more than the product.

    Args:
        units: Positive integer, features of the output.
        **kwargs: Arguments of `keras.layers.Dense`.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers.dense import Dense
    >>> tuple(Dense(4)(np.zeros((2, 5, 3), "float32")).shape)
    (2, 5, 4)
    """

    def call(self, inputs, training=None):
        """Outputs `(…, units)` of inputs `(…, features)`."""
        if len(inputs.shape) != 3:
            return super().call(inputs, training=training)
        _, time, features = ops.shape(inputs)
        flat = ops.reshape(inputs, (-1, features))
        outputs = super().call(flat, training=training)
        # Not `batch`: jax2onnx cannot find an unknown one in the sizes of `outputs`.
        return ops.reshape(outputs, (-1, time, self.units))

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None):
        """As that of Keras, which refuses subclasses unless they ask for it."""
        del type_check
        super().quantize(mode, type_check=False, config=config)
