"""Pooling of a sequence over time, into one vector."""

import keras
from keras import ops

from keras_lru.checks import check_choice
from keras_lru.layers.recomputing import RecomputedInside
from keras_lru.ops.last_unmasked import last_unmasked_step
from keras_lru.ops.sequences import final_step, mask_of_steps, static_size

MODES = ("mean", "last", "max")


@keras.saving.register_keras_serializable(package="keras_lru")
class SequencePooling(RecomputedInside, keras.layers.Layer):
    """Pools a sequence over its unmasked steps.

    The paper's classifiers take the mean over time (appendix D of
    [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349)). Unlike
    `keras.layers.GlobalAveragePooling1D` this gives zeros, and no NaN, for a
    sequence with every step masked, or whose length is known to be 0, and sums in
    float32 under half precision.

    Args:
        mode: `"mean"`, `"max"`, or `"last"`, the last unmasked step.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.

    Returns:
        A tensor `(batch, features)` of the layer's compute dtype, without a mask.

    Raises:
        ValueError: In the constructor, if `mode` is not one of the three.

    Example:
    >>> import numpy as np
    >>> x = np.array([[[1.0], [3.0], [8.0]]], "float32")
    >>> mask = np.array([[True, True, False]])
    >>> print(float(SequencePooling("mean")(x, mask=mask)[0, 0]))
    2.0
    """

    def __init__(self, mode="mean", **kwargs):
        super().__init__(**kwargs)
        check_choice("mode", mode, MODES)
        self.mode = mode
        self.supports_masking = True

    def call(self, inputs, mask=None):
        """Pools `(batch, time, features)`."""
        mask = mask_of_steps(mask)
        if static_size(inputs, 1) == 0:
            return ops.sum(inputs, axis=1)
        if mask is None:
            return self._pool(inputs)
        return self._pool_masked(inputs, ops.cast(mask, "bool"))

    @property
    def cannot_stream(self):
        """Why a sequence must be there whole; `None` for the last step alone."""
        if self.mode == "last":
            return None
        return f"it pools over the whole sequence, mode={self.mode!r}"

    def call_in_stream(self, inputs, mask=None, *, states):
        """Pools what has come so far of a sequence, with `mode="last"`.

        The output is that of the pieces before where all of this piece is masked.
        """
        mask = mask_of_steps(mask)
        outputs = self.call(inputs, mask=mask)
        if mask is None:
            return outputs
        before = states.read("output", ops.zeros_like(outputs))
        seen = ops.any(mask, axis=1, keepdims=True)
        outputs = ops.where(seen, outputs, before)
        states.write("output", outputs)
        return outputs

    def _pool(self, x):
        if self.mode == "mean":
            return ops.cast(ops.mean(self._widen(x), axis=1), x.dtype)
        if self.mode == "max":
            return ops.max(x, axis=1)
        return final_step(x)

    def _pool_masked(self, x, mask):
        if self.mode == "max":
            lowest = ops.where(
                ops.expand_dims(mask, -1), x, ops.full_like(x, float("-inf"))
            )
            some = ops.any(mask, axis=1, keepdims=True)
            return ops.where(some, ops.max(lowest, axis=1), ops.zeros_like(x[:, 0]))
        count = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
        if self.mode == "last":
            last, _ = last_unmasked_step(mask, None)
            steps = ops.arange(0, ops.shape(mask)[1], dtype="int32")
            mask = ops.logical_and(mask, ops.equal(steps, ops.expand_dims(last, 1)))
            count = ops.ones_like(count)
        # `where`, as NaN in a masked step would outlive a product with zero.
        x = ops.where(ops.expand_dims(mask, -1), x, ops.zeros_like(x))
        wide = self._widen(x)
        count = ops.cast(ops.maximum(count, 1), wide.dtype)
        return ops.cast(ops.sum(wide, axis=1) / count, x.dtype)

    @staticmethod
    def _widen(x):
        """Casts to float32 or better: half precision cannot count long sequences."""
        return ops.cast(x, keras.backend.result_type(x.dtype, "float32"))

    def compute_mask(self, inputs, previous_mask=None):
        """Returns `None`: there is no time left to mask."""
        return

    def compute_output_shape(self, input_shape):
        """Returns `(batch, features)`."""
        return (input_shape[0], input_shape[2])

    def get_config(self):
        """Returns the constructor's arguments."""
        return {**super().get_config(), "mode": self.mode}
