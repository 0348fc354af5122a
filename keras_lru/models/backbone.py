"""The deep model of the paper without its head."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_lru.checks import check_positive_integer, check_real
from keras_lru.initializers.seeds import check_seed, derive_seed
from keras_lru.layers.activations import get_activation
from keras_lru.layers.arguments import ActivationLike
from keras_lru.layers.dense import Dense
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.low_rank import LowRankLayers
from keras_lru.layers.lru import LRU, resolve_initialization
from keras_lru.layers.quantizing import settle_policy
from keras_lru.layers.residual_block import ResidualBlock
from keras_lru.layers.serialization import reseed, serialize_unbuilt
from keras_lru.layers.time_arguments import TimeArguments
from keras_lru.models.sequence_model import SequenceModel
from keras_lru.ops.sequences import mask_of_steps


@keras.saving.register_keras_serializable(package="keras_lru")
class LRUBackbone(LowRankLayers, SequenceModel):
    """An encoder and a stack of residual blocks, each with its own recurrence.

    The deep model of section 3 and figure 1 of Orvieto et al., 2023,
    [Resurrecting Recurrent Neural Networks for Long Sequences](
    https://arxiv.org/abs/2303.06349), up to the pooling: a linear encoder to
    `units` features, or an embedding of tokens, then `depth` times a
    `keras_lru.layers.ResidualBlock`. The defaults are the paper's sizes for
    ListOps and Retrieval (table 9).

    Args:
        depth: Number of blocks.
        units: Number of features between the blocks, the paper's H.
        state_size: Number of complex states of each recurrence, the paper's N; or a
            list with that of each block.
        r_min: Smallest modulus of the eigenvalues at initialization.
        r_max: Largest modulus of the eigenvalues at initialization.
        max_phase: Largest phase of the eigenvalues at initialization.
        initialization: Where the eigenvalues of an `LRU` start: `"ring"` or
            `"log_uniform"`, as its argument; `"auto"` for the paper's ring where
            `r_min`, `r_max` or `max_phase` was given, else `"log_uniform"`, which
            needs none.
        dropout: Rate of the dropouts in the blocks.
        normalization: `"batch"`, `"layer"`, `"rms"`, or `None`.
        glu: `"full"` or `"half"`.
        prenorm: Whether blocks normalize before the recurrence, or after the skip.
        bidirectional: Whether each block also reads the sequence from its end.
        activation: The nonlinearity of the blocks.
        spatial_dropout: Whether dropout drops a feature for the whole sequence.
        norm_momentum: Momentum of batch normalization's moving statistics, a number
            in [0, 1), or `"auto"`: they average over about the last tenth of all
            steps so far, of 100 at most, so that short runs and long ones evaluate
            what they trained.
        vocabulary_size: Number of tokens. With it the inputs are tokens, integers
            in `[0, vocabulary_size)`; without, they are vectors of features.
        mask_zero: Whether token 0 is padding.
        recurrence: A layer, or the serialized form of one, to use in place of
            `LRU`. It is a template: each block gets a copy, with its own seeds and
            fresh weights. `state_size`, `r_min`, `r_max`, `max_phase` and
            `initialization` are then the template's own affair, and not used.
        seed: Integer that makes all initial weights and the dropouts
            reproducible. No two layers get the same seed from it.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`. A `recurrence` keeps
            its own dtype policy.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`, or with `vocabulary_size`
            an integer tensor `(batch, time)`. Batch and time may be unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.
            With `mask_zero`, a step is used if both masks let it.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`, the sizes of steps,
            as for `keras_lru.layers.LRU`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar, the size of all steps.

    Returns:
        A tensor `(batch, time, units)` of the model's compute dtype. The mask goes
        on with it.

    Raises:
        ValueError: In the constructor, if a size is not a positive integer, if
            `mask_zero` comes without `vocabulary_size`, or if `LRU` or
            `ResidualBlock` refuses an argument. When built, if the inputs have
            another rank, or a `recurrence` another number of features.

    Example:
    >>> import numpy as np
    >>> backbone = LRUBackbone(depth=2, units=16, state_size=8, seed=0)
    >>> tuple(backbone(np.zeros((2, 5, 3), "float32")).shape)
    (2, 5, 16)
    """

    def __init__(
        self,
        depth: int = 6,
        units: int = 128,
        state_size: int | Sequence[int] = 256,
        r_min: float | None = None,
        r_max: float | None = None,
        max_phase: float | None = None,
        dropout: float = 0.0,
        normalization: str | None = "batch",
        glu: str = "full",
        prenorm: bool = True,
        bidirectional: bool = False,
        activation: ActivationLike = "gelu",
        spatial_dropout: bool = True,
        norm_momentum: float | str = "auto",
        vocabulary_size: int | None = None,
        mask_zero: bool = False,
        recurrence: keras.layers.Layer | dict | None = None,
        initialization: str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        # Inputs are cast where they are used; sizes of steps keep their digits.
        self.autocast = False
        self.depth = check_positive_integer("depth", depth)
        self.units = check_positive_integer("units", units)
        if vocabulary_size is not None:
            vocabulary_size = check_positive_integer("vocabulary_size", vocabulary_size)
        elif mask_zero:
            raise ValueError(
                "`mask_zero` needs `vocabulary_size`: there is no token 0 among "
                "vectors of features. Received: mask_zero=True, "
                "vocabulary_size=None"
            )
        self.state_size = _state_sizes(state_size, self.depth)
        start = resolve_initialization(initialization, r_min, r_max, max_phase)
        self.r_min, self.r_max = start["r_min"], start["r_max"]
        self.max_phase = start["max_phase"]
        self.initialization = start["initialization"]
        self.dropout = dropout
        self.normalization = normalization
        self.glu = glu
        self.prenorm = prenorm
        self.bidirectional = bidirectional
        self.activation = get_activation("activation", activation)
        self.spatial_dropout = spatial_dropout
        self.norm_momentum = norm_momentum
        self.vocabulary_size = vocabulary_size
        self.mask_zero = mask_zero
        self.seed = check_seed(seed)
        self.supports_masking = True

        if isinstance(recurrence, keras.layers.Layer):
            recurrence = serialize_unbuilt(recurrence)
        self._recurrence_config = recurrence

        self.encoder = self._make_encoder()
        self.blocks = [
            self._make_block(recurrence or self._default_recurrence(i), i)
            for i in range(self.depth)
        ]

    def _make_encoder(self):
        common = {"dtype": self.dtype_policy, "name": "encoder"}
        seed = derive_seed(self.seed, "encoder")
        if self.vocabulary_size is None:
            return Dense(
                self.units,
                kernel_initializer=keras.initializers.GlorotUniform(seed),
                **common,
            )
        return keras.layers.Embedding(
            self.vocabulary_size,
            self.units,
            embeddings_initializer=keras.initializers.RandomUniform(seed=seed),
            mask_zero=self.mask_zero,
            **common,
        )

    def _default_recurrence(self, index):
        sizes = self.state_size
        return serialize_unbuilt(
            LRU(
                self.units,
                state_size=sizes[index] if isinstance(sizes, tuple) else sizes,
                r_min=self.r_min,
                r_max=self.r_max,
                max_phase=self.max_phase,
                initialization=self.initialization,
                return_sequences=True,
                dtype=self.dtype_policy,
                name="lru",
            )
        )

    def _make_block(self, template, index):
        return ResidualBlock(
            reseed(template, self.seed, "recurrence", index),
            normalization=self.normalization,
            dropout=self.dropout,
            glu=self.glu,
            prenorm=self.prenorm,
            bidirectional=self.bidirectional,
            activation=self.activation,
            spatial_dropout=self.spatial_dropout,
            norm_momentum=self.norm_momentum,
            seed=derive_seed(self.seed, "block", index),
            dtype=self.dtype_policy,
            name=f"block_{index}",
        )

    @property
    def input_dtype(self):
        """The dtype of the inputs: tokens stay whole numbers in half precision."""
        return self.compute_dtype if self.vocabulary_size is None else "int32"

    def build(self, input_shape):
        """Creates the weights for inputs of the shape given."""
        input_shape = tuple(input_shape)
        self._check_input_shape(input_shape)
        settle_policy(self.encoder, f"{self.path}/{self.encoder.name}")
        self.encoder.build(input_shape)
        for block in self.blocks:
            block.build(self.compute_output_shape(input_shape))
        self.quantize_parts()
        freeze_parts(self)

    def _check_input_shape(self, input_shape):
        if self.vocabulary_size is not None:
            if len(input_shape) != 2:
                raise ValueError(
                    "`inputs` must be tokens of shape (batch, time), since "
                    f"vocabulary_size={self.vocabulary_size}. Received: "
                    f"input_shape={input_shape}"
                )
        elif len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, time, features) with a known "
                "number of features, or be tokens, with `vocabulary_size`. "
                f"Received: input_shape={input_shape}"
            )

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
        """Runs the encoder and the blocks."""
        check_real("inputs", inputs)
        mask = self.compute_mask(inputs, inputs_mask if mask is None else mask)
        in_time = TimeArguments(step_sizes, reset, rate).as_arguments()
        x = self.encoder(inputs)
        for block in self.blocks:
            x = block(x, training=training, mask=mask, **in_time)
        return x

    def compute_mask(self, inputs, previous_mask=None):
        """Returns the mask of the outputs, `(batch, time)`, or `None`."""
        previous_mask = mask_of_steps(previous_mask)
        if not self.mask_zero:
            return previous_mask
        mask = self.encoder.compute_mask(inputs)
        if previous_mask is None:
            return mask
        return keras.ops.logical_and(mask, previous_mask)

    def compute_output_shape(self, input_shape):
        """Returns `(batch, time, units)`."""
        return (*input_shape[:2], self.units)

    def adopt_sizes(self, other: "LRUBackbone") -> None:
        """Says in its config how many states the recurrences of `other` have."""
        self.state_size = other.state_size
        self._recurrence_config = other._recurrence_config

    def get_config(self):
        """Returns the constructor's arguments."""
        recurrence, sizes = self._recurrence_config, self.state_size
        return {
            **super().get_config(),
            "depth": self.depth,
            "units": self.units,
            "state_size": list(sizes) if isinstance(sizes, tuple) else sizes,
            "r_min": self.r_min,
            "r_max": self.r_max,
            "max_phase": self.max_phase,
            "initialization": self.initialization,
            "dropout": self.dropout,
            "normalization": self.normalization,
            "glu": self.glu,
            "prenorm": self.prenorm,
            "bidirectional": self.bidirectional,
            "activation": keras.activations.serialize(self.activation),
            "spatial_dropout": self.spatial_dropout,
            "norm_momentum": self.norm_momentum,
            "vocabulary_size": self.vocabulary_size,
            "mask_zero": self.mask_zero,
            # Keras wraps dictionaries that a layer owns.
            "recurrence": None if recurrence is None else dict(recurrence),
            "seed": self.seed,
        }


def _state_sizes(state_size, depth):
    """A number, or a tuple with one for each block."""
    if not isinstance(state_size, list | tuple):
        return state_size
    if len(state_size) != depth:
        raise ValueError(
            f"`state_size` must be an integer, or a list of depth={depth} of them. "
            f"Received: state_size={state_size!r}"
        )
    return tuple(check_positive_integer("state_size", size) for size in state_size)
