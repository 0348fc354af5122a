"""A classifier of pairs of sequences."""

from typing import Any

import keras
from keras import ops

from keras_lru.checks import check_choice, check_positive_integer, describe, fits
from keras_lru.layers.activations import get_activation
from keras_lru.layers.arguments import ActivationLike
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.pooling import MODES, SequencePooling
from keras_lru.layers.quantizing import unquantized
from keras_lru.layers.time_arguments import TimeArguments, refuse_reset
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.backbone_model import BackboneModel, class_objective


@keras.saving.register_keras_serializable(package="keras_lru")
class PairClassifier(BackboneModel):
    """Classifies pairs of sequences, read by one and the same backbone.

    The model of the paper's Retrieval task (appendix D of
    [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349)). With x and y the
    pooled sequences, a head of two layers reads `[x, y, x * y, x - y]`.

    The backbone reads both sequences as one batch, so that batch normalization has
    one set of statistics; hence both need the same length. Pad the shorter and mask
    the padding.

    Args:
        num_classes: Number of classes.
        pooling: `"mean"` over the unmasked steps (the paper's), `"last"`, the last
            unmasked step, or `"max"`. A sequence with every step masked pools to
            zeros.
        activation: Activation of the head's second layer. `None` gives logits:
            train with
            `keras.losses.SparseCategoricalCrossentropy(from_logits=True)`.
        backbone: An `LRUBackbone`, or `None` to make one.
        hidden_units: Size of the head's first layer. `None` means the backbone's
            `units`.
        hidden_activation: Activation of the head's first layer.
        **kwargs: Arguments of the `LRUBackbone` to make (`depth=6`, `units=128`,
            `vocabulary_size=None`, …), and Keras's own: `name`, `dtype`,
            `trainable`.

    Call arguments:
        inputs: Two tensors of one shape, as a list, a tuple, or a dictionary, whose
            keys are taken in sorted order. Each is a float tensor
            `(batch, time, features)`, or with `vocabulary_size` an integer tensor
            `(batch, time)`. Batch and time may be unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: The two masks, boolean tensors `(batch, time)`, `False` where a step is
            padding, in the structure of `inputs`. Either may be `None`.
        step_sizes: The sizes of the steps of both, positive, `(batch, time)` or
            `(batch, time, 1)`, in the structure of `inputs`.
        reset: Refused: a row is one sequence.
        rate: Positive number or scalar, the size of all steps.

    Returns:
        A tensor `(batch, num_classes)` of the model's compute dtype.

    Raises:
        ValueError: In the constructor, if `num_classes` or `hidden_units` is not a
            positive integer, if `pooling` is unknown, if `backbone` is not an
            `LRUBackbone` or comes with arguments for one, or if `LRUBackbone`
            refuses an argument. When built, if the inputs are not two, differ in
            shape, or have another rank. When called, with `reset`, or if the
            recurrence refuses `step_sizes` or `rate`.

    Example:
    >>> import numpy as np
    >>> x, y = np.zeros((2, 4, 5, 3), "float32")
    >>> model = PairClassifier(2, depth=2, units=16, state_size=8)
    >>> tuple(model([x, y]).shape)
    (4, 2)
    """

    cannot_stream = "it reads two sequences"

    def __init__(
        self,
        num_classes: int,
        pooling: str = "mean",
        activation: ActivationLike = None,
        backbone: LRUBackbone | dict | None = None,
        hidden_units: int | None = None,
        hidden_activation: ActivationLike = "gelu",
        **kwargs: Any,
    ):
        num_classes = check_positive_integer("num_classes", num_classes)
        check_choice("pooling", pooling, MODES)
        if hidden_units is not None:
            hidden_units = check_positive_integer("hidden_units", hidden_units)
        super().__init__(backbone, **kwargs)
        self.num_classes = num_classes
        self.hidden_units = hidden_units
        self.hidden_activation = get_activation("hidden_activation", hidden_activation)
        self.activation = get_activation("activation", activation)
        self.pooling = SequencePooling(
            pooling, dtype=unquantized(self.dtype_policy), name="pooling"
        )
        self.hidden = self.make_dense(
            hidden_units or self.backbone.units, self.hidden_activation, "hidden"
        )
        self.head = self.make_dense(num_classes, self.activation, "head")

    def build(self, input_shape):
        """Creates the weights for two inputs of the shapes given."""
        first, second = _two_shapes(input_shape)
        for a, b in zip(first[1:], second[1:], strict=True):
            if None not in (a, b) and a != b:
                raise ValueError(
                    "Both `inputs` must have the same length and features: pad the "
                    "shorter, and mask the padding. Received: "
                    f"input_shape={[first, second]}"
                )
        if not self.backbone.built:
            self.backbone.build(first)
        sequence_shape = self.backbone.compute_output_shape(first)
        self.pooling.build(sequence_shape)
        self.hidden.build((first[0], 4 * self.backbone.units))
        self.head.build((first[0], self.hidden.units))
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
        """Returns the class scores of each pair."""
        refuse_reset(reset, ": a row is one sequence of a pair")
        first, second = _two("inputs", inputs)
        both = ops.concatenate([first, second], axis=0)
        mask = _join_masks(first, second, inputs_mask if mask is None else mask)
        if step_sizes is not None:
            step_sizes = ops.concatenate(
                _sizes_of_both(step_sizes, first, second), axis=0
            )
        in_time = TimeArguments(step_sizes, rate=rate).as_arguments()
        sequences = self.backbone(both, training=training, mask=mask, **in_time)
        mask = self.backbone.compute_mask(both, mask)
        pooled = self.pooling(sequences, mask=mask)
        x, y = ops.split(pooled, 2, axis=0)
        features = ops.concatenate([x, y, x * y, x - y], axis=-1)
        return self.head(self.hidden(features))

    def compute_mask(self, inputs, previous_mask=None):
        """Returns `None`: there is no time left to mask."""
        return

    def compute_output_shape(self, input_shape):
        """Returns `(batch, num_classes)`."""
        return (_two_shapes(input_shape)[0][0], self.num_classes)

    def recommended_objective(self):
        """The loss and the metrics that `compile_recommended` takes."""
        return class_objective(self.activation)

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "pooling": self.pooling.mode,
            "hidden_units": self.hidden_units,
            "hidden_activation": keras.activations.serialize(self.hidden_activation),
            "activation": keras.activations.serialize(self.activation),
        }


def _two(name, structure):
    if isinstance(structure, dict):
        structure = [structure[key] for key in sorted(structure)]
    if not isinstance(structure, list | tuple) or len(structure) != 2:
        raise ValueError(
            f"`{name}` must be two tensors in a list, tuple or dictionary. "
            f"Received: {structure}"
        )
    return structure


def _sizes_of_both(step_sizes, first, second):
    sizes = [
        None if x is None else ops.convert_to_tensor(x)
        for x in _two("step_sizes", step_sizes)
    ]
    for x, inputs in zip(sizes, (first, second), strict=True):
        leading = tuple(inputs.shape[:2])
        if not (fits(x, leading) or fits(x, (*leading, 1))):
            raise ValueError(
                f"Each of `step_sizes` must be a tensor of shape {leading} or "
                f"{(*leading, 1)}. Received: {describe(x)}"
            )
    return sizes


def _two_shapes(input_shape):
    first, second = (
        tuple(shape) if isinstance(shape, list | tuple) else ()
        for shape in _two("inputs", input_shape)
    )
    if len(first) < 2 or len(first) != len(second):
        raise ValueError(
            "`inputs` must be two tensors of one rank, in a list, tuple or "
            f"dictionary. Received: input_shape={input_shape}"
        )
    return first, second


def _join_masks(first, second, mask):
    if mask is None:
        return None
    masks = list(_two("mask", mask))
    if all(m is None for m in masks):
        return None
    for i, x in enumerate((first, second)):
        if masks[i] is None:
            masks[i] = ops.ones(ops.shape(x)[:2], dtype="bool")
    return ops.concatenate(masks, axis=0)
