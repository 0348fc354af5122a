"""Each step less the one before it, masks and streams included."""

from typing import Any

import keras
from keras import ops

from keras_lru.layers.recomputing import RecomputedInside
from keras_lru.ops.sequences import (
    compact,
    expand,
    last_step,
    mask_of_steps,
    shift,
    static_size,
)


@keras.saving.register_keras_serializable(package="keras_lru")
class Differences(RecomputedInside, keras.layers.Layer):
    """Each unmasked step less the unmasked step before it; the first one is zero.

    What forecasting knows as differencing: a series with a trend has differences
    without.

    Args:
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding. There
            the difference is zero.

    Returns:
        A tensor of the shape of `inputs`.

    Example:
    >>> import numpy as np
    >>> x = np.array([[[1.0], [3.0], [9.0], [4.0]]], "float32")
    >>> mask = np.array([[True, True, False, True]])
    >>> keras.ops.convert_to_numpy(Differences()(x, mask=mask)).ravel().tolist()
    [0.0, 2.0, 0.0, 1.0]
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs, mask=None):
        """Returns the differences of `(batch, time, features)`."""
        if static_size(inputs, 1) == 0:
            return inputs
        never = ops.zeros_like(inputs[:, 0, :1])
        return self._subtract(inputs, mask, ops.zeros_like(inputs[:, 0]), never)[0]

    def call_in_stream(self, inputs, mask=None, *, states):
        """Returns the differences of a piece, the first from the step before it."""
        before = states.read("before", ops.zeros_like(inputs[:, 0]))
        seen = states.read("seen", ops.zeros_like(inputs[:, 0, :1]))
        outputs, before, seen = self._subtract(inputs, mask, before, seen)
        states.write("before", before)
        states.write("seen", seen)
        return outputs

    @staticmethod
    def _subtract(x, mask, before, seen):
        """Differences, the last unmasked step, and whether (1 or 0) there was one."""
        mask = mask_of_steps(mask)
        compacted = lengths = None
        if mask is not None:
            compacted = compact(x, ops.cast(mask, "bool"), starts_at_zero=False)
            x, lengths = compacted.inputs, compacted.lengths
        outputs = x - shift(x, ops.where(seen > 0, before, x[:, 0]))
        if lengths is None:
            return outputs, x[:, -1], ops.ones_like(seen)
        some = lengths[:, None] > 0
        last = ops.where(some, last_step(x, lengths), before)
        seen = ops.where(some, ops.ones_like(seen), seen)
        return expand(outputs, compacted, zero_output_for_mask=True), last, seen

    def compute_mask(self, inputs, previous_mask=None):
        """Returns `previous_mask`."""
        return previous_mask

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`."""
        return tuple(input_shape)
