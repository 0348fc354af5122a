"""What the cells of diagonal linear recurrences share: weights, states, one step."""

from abc import ABC, abstractmethod

import numpy as np
from keras import ops

from keras_lru.checks import check_positive_integer
from keras_lru.layers.recurrent_cell import RecurrentCell, check_states
from keras_lru.ops import complex as cx
from keras_lru.ops.diagonal_ssm import diagonal_ssm


class DiagonalCell(RecurrentCell, ABC):
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
        super().__init__(arguments, seed, **kwargs)
        self.units = check_positive_integer("units", units)
        self.num_states = num_states
        self.state_size = [num_states, num_states]
        self.state_names = ("x_re", "x_im")
        self.output_size = self.units

    # Weights

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

    # The system

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
        self._check_built()
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
        check_states("states", states, self, inputs.shape[0])
        x = cx.pack(*(ops.cast(part, self.state_dtype) for part in states))
        x = cx.scale(cx.power(*self.polar(), 1), x) + self._read(inputs)
        output = self._write(x) + self.feed_through(inputs)
        return output, self._dtypes_of(states, cx.unpack(x))

    def _read(self, inputs):
        """What inputs add to the state, packed."""
        return ops.cast(
            self.project(inputs, cx.pack(*self.input_matrix())), self.state_dtype
        )

    def _write(self, state):
        """`Re(C x)` of a packed state."""
        C_re, C_im = self.output_matrix()
        return self.project(state, ops.concatenate([C_re, -C_im], axis=0))

    def get_config(self):
        return {**super().get_config(), "units": self.units}
