"""One step of the dense RNN, and the weights the layer shares with it."""

import keras
from keras import activations, initializers, ops

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.layers.activations import get_activation
from keras_lru.layers.recurrent_cell import FEEDTHROUGHS, RecurrentCell, check_states


@keras.saving.register_keras_serializable(package="keras_lru")
class DenseRNNCell(RecurrentCell):
    """Cell class for the RNN with a dense transition.

    One step of the vanilla RNN of [Orvieto et al., 2023](
    https://arxiv.org/abs/2303.06349), section 2:

        x_k = σ(A x_{k-1} + B u_k)
        y_k = C x_k + D u_k

    Same weights, in the same order, as `keras_lru.layers.DenseRNN`, which is the one to
    use on whole sequences. The cell is for step-by-step use, and for
    `keras.layers.RNN` and `keras.layers.StackedRNNCells`.

    The recurrence and its weights are float32 at least, whatever the dtype policy; a
    state comes back in the dtype it came in.

    With a mask on the JAX backend, `keras.layers.RNN(cell)` takes the first state for
    the previous output, which is not so here: outputs at masked steps are wrong there
    unless `zero_output_for_mask=True`. `DenseRNN` has no such limit.

    Args:
        units: Positive integer, O, features of the output.
        state_size: Positive integer, N, features of the state. `None` means `units`.
        activation: σ: `"tanh"`, `"relu"`, `"linear"`, or any activation of Keras.
        feedthrough: D: `"vector"` `(units,)`, which needs inputs of `units` features;
            `"matrix"` `(input_dim, units)`; `"none"`; `"auto"` for a vector where the
            dimensions agree, else a matrix.
        recurrent_initializer: Initializer of A, `(state_size, state_size)`. `None`:
            N(0, 1/state_size), the paper's Glorot.
        input_initializer: Initializer of B, `(input_dim, state_size)`. `None`:
            N(0, 1/input_dim).
        output_initializer: Initializer of C, `(state_size, units)`. `None`:
            N(0, 1/state_size).
        feedthrough_initializer: Initializer of D. `None`: N(0, 1).
        recurrent_regularizer: Regularizer of `A`.
        input_regularizer: Regularizer of `B`.
        output_regularizer: Regularizer of `C`.
        feedthrough_regularizer: Regularizer of `D`.
        recurrent_constraint: Constraint of `A`.
        input_constraint: Constraint of `B`.
        output_constraint: Constraint of `C`.
        feedthrough_constraint: Constraint of `D`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, input_dim)`.
        states: List `[x]`, `(batch, state_size)`.
        training: Ignored.

    Returns:
        `(output, [x])`, the output `(batch, units)` in the compute dtype.

    Raises:
        ValueError: If an argument is out of its range (at construction), or
            `feedthrough="vector"` meets inputs of other than `units` features (when
            built).

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_lru.layers import DenseRNNCell
    >>> layer = keras.layers.RNN(DenseRNNCell(4, state_size=8), return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 4)
    """

    def __init__(
        self,
        units,
        state_size=None,
        activation="tanh",
        feedthrough="auto",
        recurrent_initializer=None,
        input_initializer=None,
        output_initializer=None,
        feedthrough_initializer=None,
        recurrent_regularizer=None,
        input_regularizer=None,
        output_regularizer=None,
        feedthrough_regularizer=None,
        recurrent_constraint=None,
        input_constraint=None,
        output_constraint=None,
        feedthrough_constraint=None,
        seed=None,
        **kwargs,
    ):
        check_positive_integer("units", units)
        num_states = check_positive_integer(
            "state_size", units if state_size is None else state_size
        )
        check_choice("feedthrough", feedthrough, FEEDTHROUGHS)
        activation = get_activation("activation", activation)
        super().__init__(locals(), seed, **kwargs)
        self.units = int(units)
        self.num_states = num_states
        self.activation = activation
        self.feedthrough = feedthrough
        self.state_size = [self.num_states]
        self.state_names = ("x",)
        self.output_size = self.units

    def build(self, input_shape):
        input_dim = self._known_input_dim(input_shape)
        feedthrough = self._resolve_feedthrough(input_dim)
        N = self.num_states
        self.A = self._add_matrix("A", (N, N), "recurrent", 0)
        self.B = self._add_matrix("B", (input_dim, N), "input", 1)
        self.C = self._add_matrix("C", (N, self.units), "output", 2)
        self.D = self._add_feedthrough(feedthrough, input_dim)
        self.built = True

    def _add_matrix(self, name, shape, group, offset):
        initializer = getattr(
            self, f"{group}_initializer"
        ) or initializers.VarianceScaling(
            1.0, "fan_in", "untruncated_normal", seed=self._base_seed + offset
        )
        return self._add_weight(name, shape, initializer, group)

    def read(self, inputs):
        """`B u` in the dtype of the state, of a step or of a sequence."""
        return ops.cast(self.project(inputs, self.B), self.state_dtype)

    def write(self, x, inputs):
        """`C x + D u` in the compute dtype, of a step or of a sequence."""
        return self.project(x, self.C) + self.feed_through(inputs)

    def call(self, inputs, states, training=False):
        inputs = ops.cast(inputs, self.compute_dtype)
        check_states("states", states, self, inputs.shape[0])
        x = ops.matmul(ops.cast(states[0], self.state_dtype), self.A)
        x = self.activation(x + self.read(inputs))
        return self.write(x, inputs), self._dtypes_of(states, [x])

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "state_size": self.num_states,
            "activation": activations.serialize(self.activation),
            "feedthrough": self.feedthrough,
        }
