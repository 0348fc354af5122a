"""What layers of diagonal linear recurrences share: all but the cell."""

import inspect
from operator import attrgetter

import keras
from keras import ops

from keras_lru.checks import describe, fits
from keras_lru.layers.diagonal_cell import check_states
from keras_lru.ops.algorithm import check_block_size, check_scan
from keras_lru.ops.masking import compact, expand

_OWN_ARGUMENTS = (
    "activity_regularizer",
    "return_sequences",
    "return_state",
    "go_backwards",
    "stateful",
    "zero_output_for_mask",
)


def _arguments(cell_class):
    """Names of what the constructor takes beside Keras's own."""
    parameters = inspect.signature(cell_class.__init__).parameters
    return [name for name in parameters if name not in ("self", "kwargs")]


class DiagonalRNN(keras.layers.RNN):
    """Base of recurrent layers over a `DiagonalCell`, parallel over time.

    A subclass names its cell, and takes the cell's arguments and those of Keras's
    recurrent layers, `scan` and `block_size`.

    Args:
        arguments: Dictionary of the subclass's arguments, `locals()` say.
        **kwargs: `name`, `dtype`, `trainable`.
    """

    cell_class: type

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "cell_class" not in vars(cls):
            return
        # As `keras.layers.LSTM` offers them (`state_size` is Keras's: `[N, N]`).
        for name in _arguments(cls.cell_class):
            if name != "state_size":
                setattr(cls, name, property(attrgetter(f"cell.{name}")))

    def __init__(self, arguments, **kwargs):
        if "unroll" in kwargs:
            raise ValueError(
                f"`unroll` is not an argument of {type(self).__name__}, which has no "
                f"loop to unroll; see `scan`. Received: unroll={kwargs['unroll']!r}"
            )
        scan, block_size = arguments["scan"], arguments["block_size"]
        check_scan(scan)
        check_block_size(block_size)
        kind = self.cell_class.__name__.removesuffix("Cell").lower()
        cell = self.cell_class(
            **{name: arguments[name] for name in _arguments(self.cell_class)},
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name=f"{kind}_cell",
        )
        super().__init__(
            cell,
            autocast=False,
            **{name: arguments[name] for name in _OWN_ARGUMENTS},
            **kwargs,
        )
        self.scan = scan
        self.block_size = block_size
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(state_size,)`."""
        return self.cell.eigenvalues

    @property
    def variables(self):
        """Those of every layer, and the kept states of a stateful one.

        The states are no weights, but a compiled step must hand them on.
        """
        return super().variables + list(getattr(self, "states", None) or [])

    def build(self, sequences_shape, initial_state_shape=None):
        if len(sequences_shape) != 3:
            raise ValueError(
                "`inputs` must have shape (batch, time, input_dim). "
                f"Received: shape {tuple(sequences_shape)}"
            )
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})
        self.built = True

    def _create_state_variables(self, batch_size):
        # Past attribute assignment, by which Keras would track them as weights.
        vars(self)["states"] = [
            keras.Variable(
                state,
                dtype=self.cell.state_dtype,
                trainable=False,
                autocast=False,
                name=name,
            )
            for name, state in zip(
                self.cell.state_names, self.get_initial_state(batch_size), strict=True
            )
        ]

    def get_initial_state(self, batch_size):
        """Zeros `[x_re, x_im]`, each `(batch_size, state_size)`."""
        return self.cell.get_initial_state(batch_size)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        inputs = ops.cast(sequences, self.compute_dtype)
        mask = _single(mask)
        self._check_call(inputs, initial_state, mask)
        if initial_state is None and self.stateful:
            initial_state = self.states

        if inputs.shape[1] == 0:
            mask = None
        if mask is not None:
            mask = ops.cast(mask, "bool")
        if self.go_backwards:
            inputs = ops.flip(inputs, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)

        lengths = undo = None
        if mask is not None:
            inputs, lengths, undo = compact(inputs, mask, initial_state is None)
        outputs, states = self.cell.run(
            inputs,
            initial_state=initial_state,
            lengths=lengths,
            return_sequences=self.return_sequences,
            scan=self.scan,
            block_size=self.block_size,
        )
        if mask is not None:
            if self.return_sequences:
                outputs = expand(outputs, undo, self.zero_output_for_mask)
            elif self.zero_output_for_mask:
                outputs = ops.where(mask[:, -1:], outputs, ops.zeros_like(outputs))
        if self.stateful:
            for variable, state in zip(self.states, states, strict=True):
                variable.assign(state)
        return (outputs, *states) if self.return_state else outputs

    def _check_call(self, inputs, initial_state, mask):
        batch, time, _ = inputs.shape
        if self.stateful and not fits(inputs, (self._expected_batch_size, None, None)):
            raise ValueError(
                "A stateful layer must be called with the batch size it was built "
                f"with, {self._expected_batch_size}. Received: inputs of shape "
                f"{tuple(inputs.shape)}"
            )
        if mask is not None and not fits(mask, (batch, time)):
            raise ValueError(
                f"`mask` must be a tensor of shape (batch, time) = {(batch, time)}. "
                f"Received: {describe(mask)}"
            )
        if initial_state is not None:
            check_states("initial_state", initial_state, batch, self.cell.num_states)

    def compute_output_spec(
        self, sequences, initial_state=None, mask=None, training=False
    ):
        """Symbolic outputs, in the compute dtype, and states, in float32 at least."""
        self._check_call(sequences, initial_state, _single(mask))
        shapes = self.compute_output_shape(sequences.shape)
        if not self.return_state:
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        outputs, *states = shapes
        return (
            keras.KerasTensor(outputs, dtype=self.compute_dtype),
            *(keras.KerasTensor(s, dtype=self.cell.state_dtype) for s in states),
        )

    def get_config(self):
        config = super().get_config()
        del config["cell"], config["unroll"]
        cell = self.cell.get_config()
        config.update({name: cell[name] for name in _arguments(self.cell_class)})
        return {
            **config,
            "activity_regularizer": keras.regularizers.serialize(
                self.activity_regularizer
            ),
            "scan": self.scan,
            "block_size": self.block_size,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _single(mask):
    """The mask of the sequences, where Keras hands over one per argument."""
    return mask[0] if isinstance(mask, (list, tuple)) else mask
