"""Base classes of all recurrences: a cell, and a layer over whole sequences.

A recurrence is a cell, which has the weights, and a layer, which has Keras's contract
of a recurrent layer. Between them stands `cell.system()`, the recurrence as plain
arithmetic: the cell takes one step of it, the layer runs it over all time.
"""

import inspect
import re
from abc import ABC, abstractmethod
from operator import attrgetter

import keras
from keras import constraints, initializers, ops, regularizers, tree

from keras_lru.backend import split_over_time
from keras_lru.checks import check_positive_integer, check_real, describe, fits
from keras_lru.initializers.seeds import check_seed, derive_seed, draw_seed
from keras_lru.layers.quantizing import settle_policy
from keras_lru.layers.recomputing import Recomputed
from keras_lru.layers.time_arguments import TimeArguments
from keras_lru.ops.sequences import (
    compact,
    expand,
    is_split,
    mask_of_steps,
    pad_time,
    static_size,
    whole_lengths,
)

# What the user may give for a group of weights, as `<group>_<kind>`.
_KINDS = {
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


class RecurrentCell(keras.layers.Layer, ABC):
    """Base of cells: weights in groups, states in single precision at least.

    A subclass makes its weights in `build`, by `make_weight`, and gives the recurrence
    by `system()`; a step follows. It says what its states are by `state_size` and
    `state_names`. docs/contributing.md has an example.

    Args:
        units: Positive integer, features of the output.
        seed: Integer, or `None` for a random one.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.
    """

    def __init__(self, units, *, seed=None, **kwargs):
        # Weights and states keep their own dtype; inputs are cast where they are used.
        super().__init__(**_casting_itself(kwargs))
        if not keras.backend.is_float_dtype(self.variable_dtype):
            raise ValueError(
                "`dtype` must be a floating dtype, or a dtype policy with floating "
                f"variables. Received: dtype={self.variable_dtype!r}"
            )
        self.units = check_positive_integer("units", units)
        self.seed = check_seed(seed)
        self._drawn_seed = draw_seed(self.seed)
        self._weight_options = ()

    # What a subclass gives

    @property
    @abstractmethod
    def state_size(self):
        """Features of each state, a list of integers."""

    @property
    @abstractmethod
    def state_names(self):
        """Names of the states, a tuple."""

    @abstractmethod
    def system(self):
        """The recurrence with the weights as they are, a `keras_lru.ops.system.System`.

        It is made anew for each call.
        """

    # What it is given

    @property
    def output_size(self):
        """Features of the output."""
        return self.units

    @property
    def state_dtype(self):
        """Dtype of the recurrence: the variables', but no less than float32."""
        half = self.variable_dtype in ("float16", "bfloat16")
        return "float32" if half else self.variable_dtype

    def set_weight_options(self, **options):
        """Make attributes, and parts of the config, of what concerns groups of weights.

        Args:
            **options: By names `<group>_initializer`, `<group>_regularizer` and
                `<group>_constraint`, as Keras takes them.
        """
        for name, value in options.items():
            kind = name.rpartition("_")[2]
            try:
                setattr(self, name, _KINDS[kind].get(value))
            except (ValueError, TypeError) as error:
                raise ValueError(
                    f"`{name}` must be the name of a Keras {kind}, one itself or its "
                    f"config. Received: {name}={value!r}"
                ) from error
        self._weight_options = tuple(options)

    def seed_for(self, *path):
        """A seed that no other part of this cell has."""
        return derive_seed(self._drawn_seed, *path)

    def make_weight(self, name, shape, initializer, group=None, recurrent=False):
        """Make a weight in the dtype of the recurrence.

        Args:
            name: Its name.
            shape: Its shape.
            initializer: Its initializer.
            group: What its regularizer and constraint are named after; `None` for none.
            recurrent: Whether it belongs to the recurrence: `AdamW` of this library may
                give those a smaller learning rate, and does not decay them.
        """
        weight = self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=self.state_dtype,
            autocast=False,
            regularizer=group and getattr(self, f"{group}_regularizer"),
            constraint=group and getattr(self, f"{group}_constraint"),
        )
        weight.is_recurrent = recurrent
        return weight

    def known_input_dim(self, input_shape):
        """Features of the inputs; `ValueError` if they are unknown."""
        if input_shape[-1] is None:
            raise ValueError(
                "The last dimension of `inputs` must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return input_shape[-1]

    def _check_built(self):
        if not self.built:
            raise ValueError(
                f"The weights of {self.name!r} do not exist yet. Call the layer on "
                "inputs, or call `build(input_shape)`, first."
            )

    def check_states(self, name, states, batch):
        """Raise `ValueError` unless `states` is a list of what this cell has.

        A state of one sequence will do: it is that of all.
        """
        parts = f"[{', '.join(self.state_names)}]"
        if not isinstance(states, (list, tuple)) or len(states) != len(self.state_size):
            raise ValueError(
                f"`{name}` must be a list {parts}. Received: {describe(states)}"
            )
        for part, size in zip(states, self.state_size, strict=True):
            if not (fits(part, (batch, size)) or fits(part, (1, size))):
                raise ValueError(
                    f"Each part of `{name}` must be a tensor of shape "
                    f"(batch, state_size) = {(batch, size)}, or {(1, size)} for one "
                    f"state of all sequences. Received: {describe(part)}"
                )

    def check_begun(self, in_time, batch):
        """Raise `ValueError` unless sequences begin with states of this cell."""
        if in_time.reset_to is None:
            return
        self.check_states("reset_to", in_time.reset_to, batch)
        if in_time.reset is None:
            raise ValueError(
                "`reset_to` must come with `reset`, which says where sequences begin. "
                f"Received: reset_to={describe(in_time.reset_to)}, reset=None"
            )

    def exact_states(self, states, inputs):
        """States in the dtype of the recurrence, one for each sequence of `inputs`."""
        batch = ops.shape(inputs)[0]
        return [
            ops.broadcast_to(ops.cast(state, self.state_dtype), (batch, size))
            for state, size in zip(states, self.state_size, strict=True)
        ]

    def call(
        self,
        inputs,
        states,
        training=False,
        step_sizes=None,
        reset=None,
        reset_to=None,
    ):
        check_real("inputs", inputs)
        inputs = ops.cast(inputs, self.compute_dtype)
        self.check_states("states", states, inputs.shape[0])
        exact = self.exact_states(states, inputs)
        system = self.system()
        in_time = _in_time(step_sizes, reset, reset_to=reset_to)
        if in_time is None:
            outputs, exact = system.step(inputs, exact)
        else:
            outputs, exact = self._step_in_time(system, inputs, exact, in_time)
        # The new states in the dtypes in which the old ones came.
        return outputs, [
            ops.cast(new, old.dtype) for new, old in zip(exact, states, strict=True)
        ]

    def _step_in_time(self, system, inputs, states, in_time):
        in_time.check(self, system, (inputs.shape[0],))
        self.check_begun(in_time, inputs.shape[0])
        step_size, reset, _, begun = in_time.prepared(inputs, self.state_dtype)
        if reset is not None:
            begun = map(ops.zeros_like, states) if begun is None else begun
            begun = self.exact_states(begun, inputs)
            states = [
                ops.where(reset[:, None], x, old)
                for x, old in zip(begun, states, strict=True)
            ]
        if step_size is None:
            return system.step(inputs, states)
        return system.step_of_size(inputs, states, step_size[:, None], self.hold)

    def get_initial_state(self, batch_size=None):
        """Zeros, a list of `(batch_size, state_size)`."""
        return [
            ops.zeros((batch_size, n), dtype=self.state_dtype) for n in self.state_size
        ]

    def compute_output_spec(
        self,
        inputs,
        states,
        training=False,
        step_sizes=None,
        reset=None,
        reset_to=None,
    ):
        """Symbolic output, in the compute dtype, and new states, in their own."""
        check_real("inputs", inputs)
        batch = inputs.shape[0]
        in_time = _in_time(step_sizes, reset, reset_to=reset_to)
        if in_time is not None:
            in_time.check(self, self.system(), (batch,))
            self.check_begun(in_time, batch)
        self.check_states("states", states, batch)
        return keras.KerasTensor((batch, self.output_size), self.compute_dtype), [
            keras.KerasTensor((batch, size), state.dtype)
            for state, size in zip(states, self.state_size, strict=True)
        ]

    def compute_output_shape(self, input_shape, states_shape=None):
        """Shapes of the output and of the states."""
        states = [(input_shape[0], n) for n in self.state_size]
        return (input_shape[0], self.output_size), states

    def get_config(self):
        options = {
            name: _KINDS[name.rpartition("_")[2]].serialize(getattr(self, name))
            for name in self._weight_options
        }
        return {
            **super().get_config(),
            "units": self.units,
            **options,
            "seed": self.seed,
        }


class RecurrentLayer(Recomputed, keras.layers.RNN):
    """Base of layers: Keras's contract of a recurrent layer, for all time at once.

    A subclass has the class attribute `cell_class`, and a constructor that makes such a
    cell of its arguments. The arguments of the cell become attributes of the layer too,
    as `keras.layers.LSTM` offers those of its cell.

    Args:
        cell: A `RecurrentCell`.
        return_sequences: As for `keras.layers.RNN`, and so are the others.
        return_state: See there.
        go_backwards: See there.
        stateful: See there.
        zero_output_for_mask: See there.
        activity_regularizer: See there.
        **kwargs: Keras's own: `name`, `dtype`, `trainable`.
    """

    cell_class: type[RecurrentCell]

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "cell_class" in vars(cls):
            _offer_arguments(cls, cls.cell_class)

    def __init__(
        self,
        cell,
        *,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        zero_output_for_mask=False,
        activity_regularizer=None,
        **kwargs,
    ):
        if not isinstance(cell, RecurrentCell):
            raise ValueError(f"`cell` must be a RecurrentCell. Received: cell={cell!r}")
        if "unroll" in kwargs:
            raise ValueError(
                f"`unroll` is not an argument of {type(self).__name__}: leave it out. "
                f"Received: unroll={kwargs['unroll']!r}"
            )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **_casting_itself(kwargs),
        )
        self.input_spec = keras.layers.InputSpec(ndim=3)

    def solver_options(self):
        """Arguments of the system's `run` that the layer's user chooses."""
        return {}

    def solver_options_in_time(self):
        """Arguments of the system's `run_in_time` that the layer's user chooses."""
        return {}

    @property
    def variables(self):
        """Those of every layer, and the kept states of a stateful one.

        The states are no weights, but a compiled step must hand them on.
        """
        return super().variables + list(getattr(self, "states", None) or [])

    @property
    def dtype_policy(self):
        """That of the cell."""
        return self.cell.dtype_policy

    @dtype_policy.setter
    def dtype_policy(self, value):
        self.cell.dtype_policy = value
        self._dtype_policy = self.cell.dtype_policy

    @property
    def quantization_mode(self):
        """`"int8"`, or `None` where nothing is quantized."""
        return self.cell.quantization_mode

    def build(self, sequences_shape, initial_state_shape=None):
        # Of policies for many paths, that of the layer counts, not that of its cell.
        settle_policy(self.cell, self.path)
        self._dtype_policy = self.cell.dtype_policy
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

    def call(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=False,
        sequences_mask=None,
        step_sizes=None,
        reset=None,
        rate=None,
        reset_to=None,
    ):
        mask = _mask_of_steps(mask, sequences_mask)
        initial_state = self._listed(initial_state)
        in_time = _in_time(step_sizes, reset, rate, self._listed(reset_to))
        self._check_call(sequences, initial_state, mask, in_time)
        if in_time is not None:
            in_time = in_time.prepared(sequences, self.cell.state_dtype)
        inputs = split_over_time(ops.cast(sequences, self.compute_dtype))
        if initial_state is None and self.stateful:
            # Copies: on PyTorch a variable's new value is written over its old one.
            initial_state = [ops.copy(state) for state in self.states]
        if initial_state is not None:
            initial_state = self.cell.exact_states(initial_state, inputs)

        if inputs.shape[1] == 0:
            mask = None
        if mask is not None:
            mask = ops.cast(mask, "bool")
        if self.go_backwards:
            inputs = ops.flip(inputs, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)
            in_time = None if in_time is None else in_time.flipped()
        outputs, states = self._run(inputs, initial_state, mask, in_time)
        if self.stateful:
            for variable, state in zip(self.states, states, strict=True):
                variable.assign(state)
        return (outputs, *states) if self.return_state else outputs

    def _run(self, inputs, initial_state, mask, in_time):
        """Outputs and last states, in the direction of time."""
        system = self.cell.system()
        if in_time is not None and in_time.rate is not None:
            system = system.at_rate(in_time.rate, self.cell.hold)
        if in_time is not None and in_time.differ:
            begun = in_time.reset_to
            if begun is not None:
                begun = self.cell.exact_states(begun, inputs)
            outputs, states = system.run_in_time(
                inputs,
                initial_state,
                in_time.step_sizes,
                in_time.reset,
                mask,
                self.return_sequences,
                begun,
                **self.solver_options_in_time(),
            )
            return self._zero_at_masked(outputs, mask), states
        if mask is not None and is_split(inputs) and system.takes_mask:
            outputs, states = system.run_masked(
                inputs,
                initial_state,
                mask,
                self.return_sequences,
                **self.solver_options(),
            )
            return self._zero_at_masked(outputs, mask), states
        lengths = None
        if mask is not None:
            starts_at_zero = system.keeps_zero_state and initial_state is None
            compacted = compact(inputs, mask, starts_at_zero=starts_at_zero)
            inputs, lengths = compacted.inputs, compacted.lengths
        steps = ops.shape(inputs)[1]
        add_step = not (system.takes_no_steps or static_size(inputs, 1))
        if add_step:
            if lengths is None:
                lengths = whole_lengths(inputs)
            inputs = pad_time(inputs, 1)
        outputs, states = system.run(
            inputs,
            initial_state,
            lengths,
            self.return_sequences,
            **self.solver_options(),
        )
        if add_step and self.return_sequences:
            outputs = outputs[:, :steps]
        if mask is not None:
            if self.return_sequences:
                outputs = expand(
                    outputs,
                    compacted,
                    zero_output_for_mask=self.zero_output_for_mask,
                )
            else:
                outputs = self._zero_at_masked(outputs, mask)
        return outputs, states

    def _zero_at_masked(self, outputs, mask):
        """Outputs of masked steps, zero if they are to be."""
        if mask is None or not self.zero_output_for_mask:
            return outputs
        mask = ops.expand_dims(mask, -1) if self.return_sequences else mask[:, -1:]
        return ops.where(mask, outputs, ops.zeros_like(outputs))

    def _listed(self, initial_state):
        """As Keras, take a single state without a list around it."""
        single = len(self.state_size) == 1
        if single and initial_state is not None and not tree.is_nested(initial_state):
            return [initial_state]
        return initial_state

    def _check_call(self, inputs, initial_state, mask, in_time):
        check_real("inputs", inputs)
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
            self.cell.check_states("initial_state", initial_state, batch)
        if in_time is not None:
            in_time.check(self, self.cell.system(), (batch, time), mask)
            self.cell.check_begun(in_time, batch)

    def compute_output_spec(
        self,
        sequences,
        initial_state=None,
        mask=None,
        training=False,
        sequences_mask=None,
        step_sizes=None,
        reset=None,
        rate=None,
        reset_to=None,
    ):
        """Symbolic outputs, in the compute dtype, and states, in float32 at least."""
        mask = _mask_of_steps(mask, sequences_mask)
        in_time = _in_time(step_sizes, reset, rate, self._listed(reset_to))
        self._check_call(sequences, self._listed(initial_state), mask, in_time)
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
        for name in ("name", "dtype", "trainable"):
            del cell[name]
        regularizer = keras.regularizers.serialize(self.activity_regularizer)
        return {**config, **cell, "activity_regularizer": regularizer}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _in_time(step_sizes, reset, rate=None, reset_to=None):
    """`TimeArguments`, or `None` if there are none."""
    given = (step_sizes, reset, rate, reset_to)
    return None if all(x is None for x in given) else TimeArguments(*given)


def _casting_itself(kwargs):
    """Arguments of a Keras layer that casts its inputs, and no weights, itself."""
    autocast = kwargs.pop("autocast", True)
    if autocast is not True:
        raise ValueError(
            "`autocast` must be True, or left out: inputs are cast to the compute "
            f"dtype, weights and states never. Received: autocast={autocast!r}"
        )
    return {**kwargs, "autocast": False}


def _mask_of_steps(mask, sequences_mask):
    """The mask of the sequences, `(batch, time)`, or `None`.

    Keras hands over an automatic mask as `mask`, in a list where a call has one for
    each tensor, or as `sequences_mask`, if states are tensors of the call too:
    https://github.com/keras-team/keras/issues/19311.
    """
    mask = mask[0] if isinstance(mask, (list, tuple)) else mask
    return mask_of_steps(sequences_mask if mask is None else mask)


def _offer_arguments(layer_class, cell_class):
    """Make properties of the cell's arguments, documented as the layer has them."""
    documentation = inspect.getdoc(layer_class) or ""
    for name in list(inspect.signature(cell_class).parameters):
        # `state_size` is Keras's: a list.
        if not hasattr(layer_class, name) and name not in ("state_size", "kwargs"):
            text = re.search(rf"^    {name}: (.*(?:\n {{8}}.*)*)", documentation, re.M)
            setattr(
                layer_class,
                name,
                property(attrgetter(f"cell.{name}"), doc=text and text[1]),
            )
