"""Base class of the models with a head on a backbone."""

import keras

from keras_lru.initializers.seeds import derive_seed
from keras_lru.layers.dense import Dense
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.serialization import serialize_unbuilt
from keras_lru.layers.time_arguments import TimeArguments
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.sequence_model import SequenceModel


class BackboneModel(SequenceModel):
    """A backbone with a head, the base of the models of this package.

    Args:
        backbone: An `LRUBackbone`, its serialized form, or `None` to make one.
        **kwargs: Keras's own (`name`, `dtype`, `trainable`), and the arguments of
            the backbone to make.

    Raises:
        ValueError: If `backbone` is neither, or comes with arguments for one.
    """

    def __init__(self, backbone=None, **kwargs):
        own = {
            key: kwargs.pop(key)
            for key in ("name", "dtype", "trainable", "quantization_config")
            if key in kwargs
        }
        super().__init__(**own)
        # Inputs are cast where they are used; sizes of steps keep their digits.
        self.autocast = False
        if isinstance(backbone, dict):
            backbone = keras.saving.deserialize_keras_object(backbone)
        if backbone is None:
            backbone = LRUBackbone(**kwargs, dtype=self.dtype_policy, name="backbone")
        elif not isinstance(backbone, LRUBackbone):
            raise ValueError(
                f"`backbone` must be an LRUBackbone. Received: backbone={backbone!r}"
            )
        elif kwargs:
            raise ValueError(
                "Pass either `backbone` or the arguments to make one. Received: "
                f"backbone={backbone.name!r} and {sorted(kwargs)}"
            )
        self.backbone = backbone
        self.supports_masking = True

    @property
    def lora_enabled(self):
        """Whether the backbone trains in low rank."""
        return self.backbone.lora_enabled

    def enable_lora(self, rank: int, **options) -> None:
        """Train the backbone in low rank, by its own `enable_lora`; the head as ever.

        Args:
            rank: Positive integer.
            **options: See there.

        Raises:
            ValueError: See there.
        """
        self.backbone.enable_lora(rank, **options)

    def make_dense(self, units, activation, name):
        """Makes a layer of the head, seeded by the backbone's seed."""
        seed = derive_seed(self.backbone.seed, name)
        return Dense(
            units,
            activation=activation,
            kernel_initializer=keras.initializers.GlorotUniform(seed),
            dtype=self.dtype_policy,
            name=name,
        )

    @property
    def input_dtype(self):
        """The dtype of the inputs, the backbone's."""
        return self.backbone.input_dtype

    def get_config(self):
        """Returns Keras's own arguments and the backbone."""
        return {**super().get_config(), "backbone": serialize_unbuilt(self.backbone)}


class StepwiseModel(BackboneModel):
    """A backbone with a `head`, a `keras.layers.Dense`, on each step.

    A subclass makes the head in its constructor. The mask goes on to the outputs, so
    that Keras leaves padding out of the loss.
    """

    def build(self, input_shape):
        """Creates the weights for inputs of the shape given."""
        if not self.backbone.built:
            self.backbone.build(input_shape)
        self.head.build(self.backbone.compute_output_shape(input_shape))
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
        """Returns the outputs of each step."""
        mask = inputs_mask if mask is None else mask
        in_time = TimeArguments(step_sizes, reset, rate).as_arguments()
        x = self.backbone(inputs, training=training, mask=mask, **in_time)
        return self.head(x)

    def compute_mask(self, inputs, previous_mask=None):
        """Returns the mask of the outputs, `(batch, time)`, or `None`."""
        return self.backbone.compute_mask(inputs, previous_mask)

    def compute_output_shape(self, input_shape):
        """Returns `(batch, time, units of the head)`."""
        return (*input_shape[:2], self.head.units)


def class_objective(activation=keras.activations.linear):
    """The loss and the metrics of a head of classes, by its activation."""
    logits = activation is keras.activations.linear
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=logits)
    return loss, ["accuracy"]
