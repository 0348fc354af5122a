"""A regressor: values for each step of a sequence."""

from typing import Any

import keras

from keras_lru.checks import check_positive_integer
from keras_lru.layers.activations import get_activation
from keras_lru.layers.arguments import ActivationLike
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.backbone_model import StepwiseModel


@keras.saving.register_keras_serializable(package="keras_lru")
class SequenceRegressor(StepwiseModel):
    """Predicts a vector at each step: backbone and a linear head.

    The model of `SequenceClassifier` without the pooling over time (figure 1 of
    [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349)), for forecasting,
    filtering and tagging. The mask goes on to the output, so Keras leaves
    padding out of the loss.

    Args:
        output_dim: Number of values a step.
        activation: Activation of the head.
        backbone: An `LRUBackbone`, or `None` to make one.
        **kwargs: Arguments of the `LRUBackbone` to make (`depth=6`, `units=128`,
            `vocabulary_size=None`, …), and Keras's own: `name`, `dtype`,
            `trainable`.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`, or with `vocabulary_size`
            an integer tensor `(batch, time)`. Batch and time may be unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`, the sizes of steps,
            as for `keras_lru.layers.LRU`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar, the size of all steps.

    Returns:
        A tensor `(batch, time, output_dim)` of the model's compute dtype.

    Raises:
        ValueError: In the constructor, if `output_dim` is not a positive integer,
            if `backbone` is not an `LRUBackbone` or comes with arguments for one,
            or if `LRUBackbone` refuses an argument. When built, if the inputs have
            another rank.

    Example:
    >>> import numpy as np
    >>> model = SequenceRegressor(1, depth=2, units=16, state_size=8)
    >>> tuple(model(np.zeros((2, 5, 3), "float32")).shape)
    (2, 5, 1)
    """

    def __init__(
        self,
        output_dim: int,
        activation: ActivationLike = None,
        backbone: LRUBackbone | dict | None = None,
        **kwargs: Any,
    ):
        output_dim = check_positive_integer("output_dim", output_dim)
        super().__init__(backbone, **kwargs)
        self.output_dim = output_dim
        self.activation = get_activation("activation", activation)
        self.head = self.make_dense(output_dim, self.activation, "head")

    def recommended_objective(self):
        """The loss and the metrics that `compile_recommended` takes."""
        return "mean_squared_error", ["mean_absolute_error"]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "activation": keras.activations.serialize(self.activation),
        }
