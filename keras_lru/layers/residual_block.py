"""The residual block around a recurrence (paper, figure 1)."""

import inspect
from typing import Any

import keras

from keras_lru.backend import for_two_uses
from keras_lru.checks import check_choice, check_fraction, check_real, describe
from keras_lru.initializers.seeds import check_seed, derive_seed
from keras_lru.layers.activations import activate, get_activation
from keras_lru.layers.arguments import ActivationLike
from keras_lru.layers.batch_normalization import (
    BatchNormalization,
    check_momentum,
)
from keras_lru.layers.bidirectional import Bidirectional
from keras_lru.layers.dense import Dense
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.low_rank import LowRankLayers
from keras_lru.layers.quantizing import QuantizedLayers, unquantized
from keras_lru.layers.recomputing import Recomputed
from keras_lru.layers.serialization import reseed, serialize_unbuilt
from keras_lru.layers.spatial_dropout import SpatialDropout
from keras_lru.layers.time_arguments import TimeArguments
from keras_lru.ops.sequences import mask_of_steps

_NORMALIZATIONS = ("batch", "layer", "rms", None)
_GLUS = ("full", "half")


@keras.saving.register_keras_serializable(package="keras_lru")
class ResidualBlock(Recomputed, LowRankLayers, QuantizedLayers, keras.layers.Layer):
    """A recurrence with normalization, nonlinearity, gate and skip around it.

    The recurrence of the paper is linear in time; what is nonlinear happens
    step by step, here (section 3 and figure 1 of Orvieto et al., 2023,
    [Resurrecting Recurrent Neural Networks for Long Sequences](
    https://arxiv.org/abs/2303.06349)):

    ```
    x + dropout(glu(dropout(gelu(recurrence(norm(x))))))        prenorm=True
    norm(x + dropout(glu(dropout(gelu(recurrence(x))))))        prenorm=False
    ```

    The block keeps the number of features, so blocks stack. It holds any
    recurrence: an `LRU`, a `keras.layers.LSTM`, a layer of one's own.

    Args:
        recurrence: A `keras.layers.Layer` that maps `(batch, time, features)`
            to the same shape, or the serialized form of one. A layer is taken as
            it is, with its own dtype policy, except with `bidirectional=True`,
            which makes two new layers from its config.
        normalization: `"batch"` (all the paper's runs), `"layer"`, `"rms"`, or
            `None`. Batch normalization takes its statistics from the unmasked
            steps alone, and from the whole batch where several devices share it.
        dropout: Rate of both dropouts, in `[0, 1)`.
        glu: `"full"`, `(W1 x + b1) * sigmoid(W2 x + b2)`, or `"half"`,
            `x * sigmoid(W x + b)` (the paper's on PathX).
        prenorm: Whether to normalize before the recurrence, or after the skip.
        bidirectional: Whether a second recurrence reads the sequence from its
            end. The two outputs are summed, which is one readout matrix C
            applied to both directions' states put side by side.
        activation: The nonlinearity after the recurrence: a name or a function
            that Keras can serialize.
        spatial_dropout: Whether the dropouts drop a feature for the whole
            sequence, as public code of the paper's model does. That is also the
            cheaper choice by far: one random number a sequence and feature,
            where `False` draws one a step as well.
        norm_momentum: Momentum of batch normalization's moving statistics, a number
            in [0, 1), or `"auto"`: they average over about the last tenth of all
            steps so far, of 100 at most, so that short runs and long ones evaluate
            what they trained.
        seed: Integer that makes the gate's initial weights and the dropouts
            reproducible. The recurrence has its own seed.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`; batch and time may be
            unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.
            It is handed to batch normalization and to the recurrence, and on.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`, the sizes of steps,
            as for `keras_lru.layers.LRU`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar, the size of all steps.

    Returns:
        A tensor `(batch, time, features)` of the layer's compute dtype.

    Raises:
        ValueError: In the constructor, if an argument is not one of the values
            above, or if `recurrence` returns its last output alone, returns its
            state, or runs backwards. When built, if the features of the inputs
            are unknown, or if the recurrence changes their number.

    Example:
    >>> import keras, numpy as np
    >>> lstm = keras.layers.LSTM(8, return_sequences=True)
    >>> block = ResidualBlock(lstm, dropout=0.1)
    >>> tuple(block(np.zeros((2, 5, 8), "float32")).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        recurrence: keras.layers.Layer | dict,
        normalization: str | None = "batch",
        dropout: float = 0.0,
        glu: str = "full",
        prenorm: bool = True,
        bidirectional: bool = False,
        activation: ActivationLike = "gelu",
        spatial_dropout: bool = True,
        norm_momentum: float | str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # Inputs are cast where they are used; sizes of steps keep their digits.
        self.autocast = False
        check_choice("normalization", normalization, _NORMALIZATIONS)
        check_choice("glu", glu, _GLUS)
        check_fraction("dropout", dropout)
        check_momentum("norm_momentum", norm_momentum)
        if isinstance(recurrence, dict):
            recurrence = keras.saving.deserialize_keras_object(recurrence)
        _check_recurrence(recurrence, bidirectional)

        self.normalization = normalization
        self.dropout = float(dropout)
        self.glu = glu
        self.prenorm = bool(prenorm)
        self.bidirectional = bool(bidirectional)
        self.activation = get_activation("activation", activation)
        self.spatial_dropout = bool(spatial_dropout)
        self.norm_momentum = (
            norm_momentum if norm_momentum == "auto" else float(norm_momentum)
        )
        self.seed = check_seed(seed)
        self.supports_masking = True

        self.norm = self._make_norm()
        self.recurrence = (
            self._make_bidirectional(recurrence) if bidirectional else recurrence
        )
        self.hidden_dropout = self._make_dropout("hidden_dropout")
        self.output_dropout = self._make_dropout("output_dropout")
        # A Dense layer needs its units, known when built.
        self.glu_value = None
        self.glu_gate = None

        self._recurrence_takes = set(inspect.signature(self.recurrence.call).parameters)

    def _make_norm(self):
        common = {"dtype": unquantized(self.dtype_policy), "name": "norm"}
        if self.normalization == "batch":
            return BatchNormalization(momentum=self.norm_momentum, **common)
        if self.normalization == "layer":
            return keras.layers.LayerNormalization(**common)
        if self.normalization == "rms":
            norm = keras.layers.RMSNormalization(**common)
            # Keras forgot to: without it a mask on the input is a warning.
            norm.supports_masking = True
            return norm
        return None

    def _make_dropout(self, name):
        layer = SpatialDropout if self.spatial_dropout else keras.layers.Dropout
        return layer(
            self.dropout,
            seed=derive_seed(self.seed, name),
            dtype=unquantized(self.dtype_policy),
            name=name,
        )

    def _make_bidirectional(self, recurrence):
        # A copy with the same seeds would start with the forward layer's weights.
        config = reseed(serialize_unbuilt(recurrence), None, "backward")
        name = recurrence.name.removeprefix("forward_")
        config["config"].update(go_backwards=True, name=f"backward_{name}")
        both = Bidirectional(
            recurrence,
            backward_layer=keras.saving.deserialize_keras_object(config),
            merge_mode="sum",
            dtype=unquantized(self.dtype_policy),
            name="bidirectional",
        )
        # It has a copy. While a file is read, Keras takes another layer at the same
        # address for this one, so that this one stays. Past its tracking of layers.
        vars(both)["copied"] = recurrence
        return both

    def _make_dense(self, name, units, activation=None):
        initializer = keras.initializers.GlorotUniform(derive_seed(self.seed, name))
        return Dense(
            units,
            activation=activation,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape):
        """Creates the weights for inputs `(batch, time, features)`."""
        input_shape = tuple(input_shape)
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, time, features) with a known "
                f"number of features. Received: input_shape={input_shape}"
            )
        features = input_shape[-1]
        if not self.recurrence.built:
            self.recurrence.build(input_shape)
        spec = self.recurrence.compute_output_spec(
            keras.KerasTensor(input_shape, dtype=self.compute_dtype)
        )
        shape = getattr(spec, "shape", None)
        if shape is None or len(shape) != 3 or shape[-1] != features:
            raise ValueError(
                "`recurrence` must return as many features as it reads, for the "
                f"skip: (batch, time, {features}). Received: "
                f"recurrence={self.recurrence.name!r}, which turns {input_shape} "
                f"into {shape}"
            )
        self.glu_gate = self._make_dense("glu_gate", features, "sigmoid")
        self.glu_gate.build(input_shape)
        if self.glu == "full":
            self.glu_value = self._make_dense("glu_value", features)
            self.glu_value.build(input_shape)
        if self.norm is not None:
            self.norm.build(input_shape)
        self.hidden_dropout.build(input_shape)
        self.output_dropout.build(input_shape)
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
        """Runs the block on `(batch, time, features)`."""
        check_real("inputs", inputs)
        inputs = keras.ops.cast(inputs, self.compute_dtype)
        mask = mask_of_steps(inputs_mask if mask is None else mask)
        in_time = TimeArguments(step_sizes, reset, rate)
        inputs, x = for_two_uses(inputs)
        x = self._normalize(x, training, mask) if self.prenorm else x
        x = self._recur(x, mask, in_time)
        x = self.hidden_dropout(activate(self.activation, x), training=training)
        value = self.glu_value(x) if self.glu == "full" else x
        x = self.output_dropout(value * self.glu_gate(x), training=training)
        x = inputs + x
        return x if self.prenorm else self._normalize(x, training, mask)

    def _normalize(self, x, training, mask):
        if self.normalization is None:
            return x
        if self.normalization == "batch":
            return self.norm(x, training=training, mask=mask)
        return self.norm(x)

    def _recur(self, x, mask, in_time):
        given = in_time.as_arguments()
        for name, value in given.items():
            if name not in self._recurrence_takes:
                raise ValueError(
                    f"`{name}` must be left out: the recurrence "
                    f"{self.recurrence.name!r} of the block {self.name!r} takes none. "
                    f"Received: {name}={describe(value)}"
                )
        if "mask" in self._recurrence_takes:
            given["mask"] = mask
        x = self.recurrence(x, **given)
        # The recurrence may have a dtype policy of its own.
        return keras.ops.cast(x, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        """Returns `input_shape`."""
        return tuple(input_shape)

    def compute_mask(self, inputs, previous_mask=None):
        """Returns `previous_mask`: the block has a step for each step it reads."""
        return previous_mask

    def get_config(self):
        """Returns the constructor's arguments."""
        recurrence = (
            self.recurrence.forward_layer if self.bidirectional else self.recurrence
        )
        return {
            **super().get_config(),
            "recurrence": serialize_unbuilt(recurrence),
            "normalization": self.normalization,
            "dropout": self.dropout,
            "glu": self.glu,
            "prenorm": self.prenorm,
            "bidirectional": self.bidirectional,
            "activation": keras.activations.serialize(self.activation),
            "spatial_dropout": self.spatial_dropout,
            "norm_momentum": self.norm_momentum,
            "seed": self.seed,
        }


def _check_recurrence(recurrence, bidirectional):
    if not isinstance(recurrence, keras.layers.Layer):
        raise ValueError(
            "`recurrence` must be a Keras layer, or the serialized form of one. "
            f"Received: recurrence={recurrence!r}"
        )
    wanted = {"return_sequences": True, "return_state": False, "go_backwards": False}
    for name, value in wanted.items():
        if bool(getattr(recurrence, name, value)) is not value:
            raise ValueError(
                f"`recurrence` must have {name}={value}. Received: "
                f"recurrence={recurrence.name!r} with {name}={not value}"
            )
    if bidirectional and not hasattr(recurrence, "go_backwards"):
        raise ValueError(
            "`recurrence` must have an argument `go_backwards` if "
            f"`bidirectional=True`. Received: recurrence={recurrence.name!r}, "
            "which has none"
        )
