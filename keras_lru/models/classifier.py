"""A classifier of sequences."""

from typing import Any

import keras

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.layers.activations import get_activation
from keras_lru.layers.arguments import ActivationLike
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.pooling import MODES, SequencePooling
from keras_lru.layers.quantizing import unquantized
from keras_lru.layers.time_arguments import TimeArguments, refuse_reset
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.backbone_model import BackboneModel, class_objective


@keras.saving.register_keras_serializable(package="keras_lru")
class SequenceClassifier(BackboneModel):
    """Classifies sequences: backbone, pooling over time, linear head.

    The model of the paper's experiments on the Long Range Arena (section 3,
    figure 1 and appendix D of
    [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349)), Retrieval excepted:
    that is `PairClassifier`.

    Args:
        num_classes: Number of classes.
        pooling: `"mean"` over the unmasked steps (the paper's), `"last"`, the last
            unmasked step, or `"max"`. A sequence with every step masked pools to
            zeros.
        activation: Activation of the head. `None` gives logits: train with
            `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`.
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
        rate: Positive number or scalar, the size of all steps.

    Returns:
        A tensor `(batch, num_classes)` of the model's compute dtype.

    Raises:
        ValueError: In the constructor, if `num_classes` is not a positive integer,
            if `pooling` is unknown, if `backbone` is not an `LRUBackbone` or comes
            with arguments for one, or if `LRUBackbone` refuses an argument. When
            built, if the inputs have another rank.

    Example:
    >>> import numpy as np
    >>> model = SequenceClassifier(10, depth=2, units=16, state_size=8)
    >>> tuple(model(np.zeros((2, 5, 3), "float32")).shape)
    (2, 10)
    """

    def __init__(
        self,
        num_classes: int,
        pooling: str = "mean",
        activation: ActivationLike = None,
        backbone: LRUBackbone | dict | None = None,
        **kwargs: Any,
    ):
        num_classes = check_positive_integer("num_classes", num_classes)
        check_choice("pooling", pooling, MODES)
        super().__init__(backbone, **kwargs)
        self.num_classes = num_classes
        self.activation = get_activation("activation", activation)
        self.pooling = SequencePooling(
            pooling, dtype=unquantized(self.dtype_policy), name="pooling"
        )
        self.head = self.make_dense(num_classes, self.activation, "head")

    def build(self, input_shape):
        """Creates the weights for inputs of the shape given."""
        if not self.backbone.built:
            self.backbone.build(input_shape)
        sequence_shape = self.backbone.compute_output_shape(input_shape)
        self.pooling.build(sequence_shape)
        self.head.build(self.pooling.compute_output_shape(sequence_shape))
        self.quantize_parts()
        freeze_parts(self)

    def call(
        self,
        inputs,
        training=None,
        mask=None,
        step_sizes=None,
        reset=None,
        rate=None,
        inputs_mask=None,
    ):
        """Returns the class scores of each sequence."""
        why = ": a classifier pools over all steps of a row, which is one sequence"
        refuse_reset(reset, f"{why}; a `SequenceRegressor` does not")
        mask = inputs_mask if mask is None else mask
        in_time = TimeArguments(step_sizes, rate=rate).as_arguments()
        x = self.backbone(inputs, training=training, mask=mask, **in_time)
        mask = self.backbone.compute_mask(inputs, mask)
        return self.head(self.pooling(x, mask=mask))

    def compute_mask(self, inputs, previous_mask=None):
        """Returns `None`: there is no time left to mask."""
        return

    def compute_output_shape(self, input_shape):
        """Returns `(batch, num_classes)`."""
        return (input_shape[0], self.num_classes)

    def recommended_objective(self):
        """The loss and the metrics that `compile_recommended` takes."""
        return class_objective(self.activation)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "pooling": self.pooling.mode,
            "activation": keras.activations.serialize(self.activation),
        }
