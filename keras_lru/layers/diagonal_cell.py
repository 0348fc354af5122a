"""What the cells of diagonal linear recurrences share: weights, states, one step."""

from abc import ABC, abstractmethod

import keras
import numpy as np
from keras import constraints, initializers, ops, regularizers

from keras_lru.checks import check_positive_integer, describe, fits
from keras_lru.initializers import draw_seed
from keras_lru.ops import complex as cx
from keras_lru.ops.diagonal_ssm import diagonal_ssm

FEEDTHROUGHS = ("auto", "vector", "matrix", "none")
_KERAS_OBJECTS = {
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


def check_states(name, states, batch, state_size):
    """Raise `ValueError` unless `states` is `[x_re, x_im]` for these sizes."""
    if not isinstance(states, (list, tuple)) or len(states) != 2:
        raise ValueError(
            f"`{name}` must be a list [x_re, x_im]. Received: {describe(states)}"
        )
    for part in states:
        if not fits(part, (batch, state_size)):
            raise ValueError(
                f"Each part of `{name}` must be a tensor of shape (batch, state_size)"
                f" = {(batch, state_size)}. Received: {describe(part)}"
            )


def _suffix(name):
    return name.rpartition("_")[2]


class DiagonalCell(keras.layers.Layer, ABC):
    """Base of cells `x_k = Λ x_{k-1} + B u_k`, `y_k = Re(C x_k) + D u_k`.

    A subclass makes its weights in `build`, `D` or `None` among them, and gives the
    matrices by `polar()`, `input_matrix()` and `output_matrix()`.

    Args:
        units: Positive integer, features of the output.
        num_states: Positive integer, complex states that are computed.
        arguments: Dictionary: those named `…_initializer`, `…_regularizer` and
            `…_constraint` become attributes, and part of the config.
        seed: Integer or `None`.
        **kwargs: Keras's own.
    """

    def __init__(self, units, num_states, arguments, seed, **kwargs):
        # Weights and states keep their own dtype; inputs are cast where they are used.
        super().__init__(autocast=False, **kwargs)
        self.units = check_positive_integer("units", units)
        self.num_states = num_states
        self.seed = seed
        # Backends take 32 bits, and the weights count up from here.
        self._base_seed = draw_seed(seed) % 2**31
        self._object_names = tuple(
            name for name in arguments if _suffix(name) in _KERAS_OBJECTS
        )
        for name in self._object_names:
            get = _KERAS_OBJECTS[_suffix(name)].get
            setattr(self, name, get(arguments[name]))

        self.state_size = [num_states, num_states]
        self.state_names = ("x_re", "x_im")
        self.output_size = self.units

    # Weights

    def _known_input_dim(self, input_shape):
        if input_shape[-1] is None:
            raise ValueError(
                "The last dimension of `inputs` must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        return input_shape[-1]

    def _resolve_feedthrough(self, input_dim):
        """`self.feedthrough` for inputs of these features, "auto" no more."""
        feedthrough = self.feedthrough
        if feedthrough == "auto":
            feedthrough = "vector" if input_dim == self.units else "matrix"
        if feedthrough == "vector" and input_dim != self.units:
            raise ValueError(
                '`feedthrough="vector"` needs inputs of `units` features. Received: '
                f"units={self.units}, inputs of {input_dim} features"
            )
        return feedthrough

    def _add_weight(self, name, shape, initializer, group=None):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=self.state_dtype,
            autocast=False,
            regularizer=group and getattr(self, f"{group}_regularizer"),
            constraint=group and getattr(self, f"{group}_constraint"),
        )

    def _add_pair(self, name, shape, packed, group):
        """Real and imaginary part: the halves of one matrix, drawn together.

        Args:
            name: What the two names start with.
            shape: Shape of each part.
            packed: Function of the dtype: `[real, imag]` along the last axis. Called
                once per part, so it must give the same twice.
            group: What its regularizer and constraint are named after.
        """
        columns = shape[-1]
        parts = {"re": slice(0, columns), "im": slice(columns, None)}
        return [
            self._add_weight(
                f"{name}_{part}",
                shape,
                lambda shape, dtype=None, half=half: ops.convert_to_tensor(
                    packed(dtype)
                )[..., half],
                group,
            )
            for part, half in parts.items()
        ]

    def _add_feedthrough(self, feedthrough, input_dim):
        if feedthrough == "none":
            return None
        initializer = self.feedthrough_initializer or initializers.RandomNormal(
            stddev=1.0, seed=self._base_seed + 4
        )
        shape = (self.units,) if feedthrough == "vector" else (input_dim, self.units)
        return self._add_weight("D", shape, initializer, "feedthrough")

    # The system

    @property
    def state_dtype(self):
        """Dtype of the recurrence: the variables', but no less than float32."""
        half = self.variable_dtype in ("float16", "bfloat16")
        return "float32" if half else self.variable_dtype

    @abstractmethod
    def polar(self):
        """`(log|λ|, arg λ)` as tensors, each `(num_states,)`."""

    @abstractmethod
    def input_matrix(self):
        """B as a pair, each `(input_dim, num_states)`."""

    @abstractmethod
    def output_matrix(self):
        """C as a pair, each `(num_states, units)`."""

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(num_states,)`."""
        if not self.built:
            raise ValueError(
                f"The weights of {self.name!r} do not exist yet. Call the layer on "
                "inputs, or call `build(input_shape)`, first."
            )
        log_modulus, angle = (
            ops.convert_to_numpy(x).astype("float64") for x in self.polar()
        )
        return np.exp(log_modulus + 1j * angle).astype("complex64")

    def run(self, inputs, **options):
        """Outputs and last state of whole sequences; see `diagonal_ssm`."""
        return diagonal_ssm(
            inputs,
            *self.polar(),
            self.input_matrix(),
            self.output_matrix(),
            None if self.D is None else ops.convert_to_tensor(self.D),
            **options,
        )

    def call(self, inputs, states, training=False):
        inputs = ops.cast(inputs, self.compute_dtype)
        check_states("states", states, inputs.shape[0], self.num_states)
        x = cx.pack(*(ops.cast(part, self.state_dtype) for part in states))
        x = cx.scale(cx.power(*self.polar(), 1), x) + self._read(inputs)
        output = self._write(x)
        if self.D is not None:
            D = ops.cast(self.D, self.compute_dtype)
            output += inputs * D if len(D.shape) == 1 else ops.matmul(inputs, D)
        new_states = [
            ops.cast(part, like.dtype)
            for part, like in zip(cx.unpack(x), states, strict=True)
        ]
        return output, new_states

    def _read(self, inputs):
        """What inputs add to the state, packed."""
        return ops.cast(
            self._product(inputs, cx.pack(*self.input_matrix())), self.state_dtype
        )

    def _write(self, state):
        """`Re(C x)` of a packed state."""
        C_re, C_im = self.output_matrix()
        return self._product(state, ops.concatenate([C_re, -C_im], axis=0))

    def _product(self, value, matrix):
        value = ops.cast(value, self.compute_dtype)
        return ops.matmul(value, ops.cast(matrix, self.compute_dtype))

    def get_initial_state(self, batch_size=None):
        """Zeros `[x_re, x_im]`, each `(batch_size, num_states)`."""
        return [
            ops.zeros((batch_size, n), dtype=self.state_dtype) for n in self.state_size
        ]

    def compute_output_shape(self, input_shape, states_shape=None):
        """Shapes of the output and of the two states."""
        states = [(input_shape[0], n) for n in self.state_size]
        return (input_shape[0], self.units), states

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "seed": self.seed,
            **{
                name: _KERAS_OBJECTS[_suffix(name)].serialize(getattr(self, name))
                for name in self._object_names
            },
        }
