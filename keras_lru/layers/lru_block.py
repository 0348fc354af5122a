"""The block of the paper where one `LSTM` stood: a layer in one line."""

from typing import Any

import keras

from keras_lru.checks import check_choice, check_positive_integer, check_real
from keras_lru.initializers.seeds import check_seed, derive_seed
from keras_lru.layers.arguments import ActivationLike
from keras_lru.layers.dense import Dense
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.low_rank import LowRankLayers
from keras_lru.layers.lru import LRU, resolve_initialization
from keras_lru.layers.pooling import MODES, SequencePooling
from keras_lru.layers.quantizing import QuantizedLayers, unquantized
from keras_lru.layers.recomputing import Recomputed
from keras_lru.layers.residual_block import ResidualBlock
from keras_lru.layers.time_arguments import TimeArguments, refuse_reset
from keras_lru.ops.sequences import mask_of_steps


@keras.saving.register_keras_serializable(package="keras_lru")
class LRUBlock(Recomputed, LowRankLayers, QuantizedLayers, keras.layers.Layer):
    """An `LRU` with all that makes a network of it, where an `LSTM` stood.

    The recurrence of an `LRU` is linear, so that one alone cannot do what one `LSTM`
    does. This layer is one block of the deep model (section 3 and figure 1 of Orvieto
    et al., 2023, [Resurrecting Recurrent Neural Networks for Long Sequences](
    https://arxiv.org/abs/2303.06349)): a linear encoder to `units` features, where the
    inputs have another number, and a `ResidualBlock` with normalization, the
    recurrence, GELU, a gate and a skip. It stacks as `LSTM` does. In place of
    `keras.layers.Bidirectional` around it there is `bidirectional=True`.

    Args:
        units: Positive integer, features of the output.
        state_size: Positive integer, complex states of the recurrence. `None` means
            `units`.
        return_sequences: Whether to return all outputs, or one for the sequence.
        pooling: Which one: `"last"`, of the last unmasked step, as `LSTM` does;
            `"mean"` over the unmasked steps, the paper's choice for classification; or
            `"max"`.
        r_min: Inner radius of the ring on which the eigenvalues start. `None`: 0.
        r_max: Outer radius. `None`: 1.
        max_phase: Largest initial phase of an eigenvalue, in radians. `None`: 2π.
        initialization: Where the eigenvalues start: `"ring"` or `"log_uniform"`, as the
            argument of `LRU`; `"auto"` for the ring where `r_min`, `r_max` or
            `max_phase` was given, else `"log_uniform"`, which needs none.
        dropout: Rate of the block's dropouts, in `[0, 1)`.
        normalization: `"batch"`, `"layer"`, `"rms"`, or `None`.
        glu: `"full"` or `"half"`, the block's gate.
        bidirectional: Whether a second recurrence reads the sequence from its end.
        activation: The nonlinearity after the recurrence.
        norm_momentum: Momentum of batch normalization's moving statistics, as of
            `ResidualBlock`.
        seed: Integer: makes the initial weights and the dropouts reproducible.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`; batch and time may be unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`, the sizes of steps,
            as for `keras_lru.layers.LRU`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar, the size of all steps.

    Returns:
        A tensor `(batch, units)`, or with `return_sequences` `(batch, time, units)`, of
        the layer's compute dtype.

    Raises:
        ValueError: In the constructor, if an argument is not one of the values above.
            When built, if the inputs have another rank or their features are unknown.

    Example:

    >>> import keras, numpy as np
    >>> from keras_lru import LRUBlock
    >>> model = keras.Sequential(
    ...     [
    ...         LRUBlock(16, return_sequences=True),
    ...         LRUBlock(16, pooling="mean"),
    ...         keras.layers.Dense(1),
    ...     ]
    ... )
    >>> tuple(model(np.zeros((2, 100, 3), "float32")).shape)
    (2, 1)
    """

    def __init__(
        self,
        units: int,
        state_size: int | None = None,
        return_sequences: bool = False,
        pooling: str = "last",
        r_min: float | None = None,
        r_max: float | None = None,
        max_phase: float | None = None,
        initialization: str = "auto",
        dropout: float = 0.0,
        normalization: str | None = "batch",
        glu: str = "full",
        bidirectional: bool = False,
        activation: ActivationLike = "gelu",
        norm_momentum: float | str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ):
        if "go_backwards" in kwargs:
            raise ValueError(
                "`go_backwards`, which `keras.layers.Bidirectional` gives to what it "
                "wraps, is not for a block: pass `bidirectional=True`. Received: "
                f"go_backwards={kwargs['go_backwards']}"
            )
        super().__init__(**kwargs)
        # Inputs are cast where they are used; sizes of steps keep their digits.
        self.autocast = False
        self.units = check_positive_integer("units", units)
        check_choice("pooling", pooling, MODES)
        self.return_sequences = bool(return_sequences)
        self.pooling = SequencePooling(
            pooling, dtype=unquantized(self.dtype_policy), name="pooling"
        )
        self.seed = check_seed(seed)
        self.supports_masking = True
        self._start = resolve_initialization(initialization, r_min, r_max, max_phase)
        recurrence = LRU(
            self.units,
            state_size=state_size,
            **self._start,
            return_sequences=True,
            seed=derive_seed(self.seed, "recurrence"),
            dtype=self.dtype_policy,
            name="lru",
        )
        self.state_size = recurrence.cell.num_states
        # A Dense layer where the features of the inputs, known when built, need one.
        self.encoder = None
        self.block = ResidualBlock(
            recurrence,
            normalization=normalization,
            dropout=dropout,
            glu=glu,
            bidirectional=bidirectional,
            activation=activation,
            norm_momentum=norm_momentum,
            seed=derive_seed(self.seed, "block"),
            dtype=self.dtype_policy,
            name="block",
        )

    def build(self, input_shape):
        """Creates the weights for inputs `(batch, time, features)`."""
        input_shape = tuple(input_shape)
        if len(input_shape) != 3 or input_shape[-1] is None:
            raise ValueError(
                "`inputs` must have shape (batch, time, features) with a known "
                f"number of features. Received: input_shape={input_shape}"
            )
        if input_shape[-1] != self.units:
            seed = derive_seed(self.seed, "encoder")
            self.encoder = Dense(
                self.units,
                kernel_initializer=keras.initializers.GlorotUniform(seed),
                dtype=self.dtype_policy,
                name="encoder",
            )
            self.encoder.build(input_shape)
        sequence_shape = (*input_shape[:2], self.units)
        self.block.build(sequence_shape)
        self.pooling.build(sequence_shape)
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
        if not self.return_sequences:
            why = "one vector cannot be that of several sequences in a row"
            refuse_reset(reset, f" without `return_sequences=True`: {why}")
        mask = mask_of_steps(inputs_mask if mask is None else mask)
        x = inputs if self.encoder is None else self.encoder(inputs)
        in_time = TimeArguments(step_sizes, reset, rate).as_arguments()
        x = self.block(x, training=training, mask=mask, **in_time)
        return x if self.return_sequences else self.pooling(x, mask=mask)

    def compute_output_shape(self, input_shape):
        """Returns `(batch, units)`, or `(batch, time, units)`."""
        if self.return_sequences:
            return (*input_shape[:2], self.units)
        return (input_shape[0], self.units)

    def compute_mask(self, inputs, previous_mask=None):
        """Returns the mask of the outputs: none where there is no time left."""
        return previous_mask if self.return_sequences else None

    def adopt_sizes(self, other: "LRUBlock") -> None:
        """Says in its config how many states the recurrence of `other` has."""
        self.state_size = other.state_size

    def get_config(self):
        """Returns the constructor's arguments."""
        names = ("normalization", "dropout", "glu", "bidirectional", "norm_momentum")
        return {
            **super().get_config(),
            "units": self.units,
            "state_size": self.state_size,
            "return_sequences": self.return_sequences,
            "pooling": self.pooling.mode,
            **self._start,
            **{name: getattr(self.block, name) for name in names},
            "activation": keras.activations.serialize(self.block.activation),
            "seed": self.seed,
        }
