"""What the layers share: Keras's contract of a recurrent layer."""

import inspect
from operator import attrgetter

import keras
from keras import ops, tree

from keras_lru.checks import describe, fits
from keras_lru.layers.recurrent_cell import check_states
from keras_lru.ops.backend import static_size
from keras_lru.ops.masking import compact, expand


class RecurrentLayer(keras.layers.RNN):
    """A recurrent layer that solves its cell's recurrence for all time at once.

    A subclass has the class attributes `cell_class`, a `RecurrentCell`, and
    `cell_name`; the arguments of the cell's constructor in its own, which become its
    attributes too; and a method `_solve(inputs, initial_state, lengths)` of

    - `inputs`: `(batch, time, input_dim)` in the compute dtype;
    - `initial_state`: the list of initial states, or `None` for zeros;
    - `lengths`: integers `(batch,)`, the steps after which each sequence has ended, or
      `None` for all steps;

    which returns the outputs, of steps after the last anything finite, or without
    `return_sequences` the last one, zero where there was no step; and the list of last
    states.

    Args:
        arguments: Arguments of the subclass's constructor by name.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.
    """

    cell_class = None
    cell_name = None
    # Whether zero inputs keep a zero state as it is.
    keeps_zero_state = False
    # Whether `_solve` takes sequences of unknown length, or of none; one step of zeros
    # is added else.
    solves_no_steps = False

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # As `keras.layers.LSTM` offers its arguments (`state_size` is Keras's: a list).
        for name in cls._cell_arguments():
            if not hasattr(cls, name) and name != "state_size":
                setattr(cls, name, property(attrgetter(f"cell.{name}")))

    @classmethod
    def _cell_arguments(cls):
        parameters = inspect.signature(cls.cell_class.__init__).parameters
        return [name for name in parameters if name not in ("self", "kwargs")]

    def __init__(self, arguments, **kwargs):
        if "unroll" in kwargs:
            raise ValueError(
                f"`unroll` is not an argument of {type(self).__name__}: leave it out. "
                f"Received: unroll={kwargs['unroll']!r}"
            )
        cell = self.cell_class(
            **{name: arguments[name] for name in self._cell_arguments()},
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name=self.cell_name,
        )
        options = (
            "return_sequences",
            "return_state",
            "go_backwards",
            "stateful",
            "zero_output_for_mask",
            "activity_regularizer",
        )
        super().__init__(
            cell,
            **{name: arguments[name] for name in options},
            autocast=False,
            **kwargs,
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def units(self):
        """Features of the output."""
        return self.cell.units

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
        """Zeros, a list of `(batch_size, state_size)`."""
        return self.cell.get_initial_state(batch_size)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        inputs = ops.cast(sequences, self.compute_dtype)
        mask = _single(mask)
        initial_state = self._listed(initial_state)
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
            starts_at_zero = self.keeps_zero_state and initial_state is None
            inputs, lengths, undo = compact(inputs, mask, starts_at_zero)
        batch, steps, _ = ops.shape(inputs)
        padded = not (self.solves_no_steps or static_size(inputs, 1))
        if padded:
            if lengths is None:
                lengths = ops.full((batch,), steps, dtype="int32")
            more = ops.zeros((batch, 1, inputs.shape[-1]), dtype=inputs.dtype)
            inputs = ops.concatenate([inputs, more], axis=1)
        outputs, states = self._solve(inputs, initial_state, lengths)
        if padded and self.return_sequences:
            outputs = outputs[:, :steps]
        if mask is not None:
            if self.return_sequences:
                outputs = expand(outputs, undo, self.zero_output_for_mask)
            elif self.zero_output_for_mask:
                outputs = ops.where(mask[:, -1:], outputs, ops.zeros_like(outputs))
        if self.stateful:
            for variable, state in zip(self.states, states, strict=True):
                variable.assign(state)
        return (outputs, *states) if self.return_state else outputs

    def _listed(self, initial_state):
        """As Keras, take a single state without a list around it."""
        single = len(self.state_size) == 1
        if single and initial_state is not None and not tree.is_nested(initial_state):
            return [initial_state]
        return initial_state

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
            check_states("initial_state", initial_state, self.cell, batch)

    def compute_output_spec(
        self, sequences, initial_state=None, mask=None, training=False
    ):
        """Symbolic outputs, in the compute dtype, and states, in float32 at least."""
        self._check_call(sequences, self._listed(initial_state), _single(mask))
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
        config.update({name: cell[name] for name in self._cell_arguments()})
        regularizer = keras.regularizers.serialize(self.activity_regularizer)
        return {**config, "activity_regularizer": regularizer}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _single(mask):
    """The mask of the sequences, where Keras hands over one per argument."""
    return mask[0] if isinstance(mask, (list, tuple)) else mask
