"""Dense layers on sequences."""

from typing import Any

import keras
from keras import ops

from keras_lru.backend import proves_sizes
from keras_lru.layers.activations import activate
from keras_lru.layers.quantizing import settle_policy
from keras_lru.layers.recomputing import Recomputed
from keras_lru.ops.sequences import is_split_in_rows


@keras.saving.register_keras_serializable(package="keras_lru")
class Dense(Recomputed, keras.layers.Dense):
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

    def build(self, input_shape):
        """Creates the weights for inputs `(…, features)`."""
        settle_policy(self)
        super().build(input_shape)

    def call(self, inputs, training=None):
        """Outputs `(…, units)` of inputs `(…, features)`."""
        outputs = self._product(inputs)
        if self.bias is not None:
            outputs = ops.add(outputs, self.bias)
        return (
            outputs if self.activation is None else activate(self.activation, outputs)
        )

    def _product(self, inputs):
        if len(inputs.shape) != 3 or is_split_in_rows(inputs):
            return ops.matmul(inputs, self.kernel)
        batch, time, features = ops.shape(inputs)
        if proves_sizes() and not isinstance(batch, int):
            # jax2onnx cannot find an unknown batch in the sizes of the product.
            batch = -1
        outputs = ops.matmul(ops.reshape(inputs, (-1, features)), self.kernel)
        return ops.reshape(outputs, (batch, time, self.units))

    def quantize(self, mode: Any = None, type_check: bool = True, config: Any = None):
        """As that of Keras, which refuses subclasses unless they ask for it."""
        del type_check
        super().quantize(mode, type_check=False, config=config)
