"""The RNN with a dense transition, the one at the bottom of the paper's ladder."""

from typing import Any

import keras
from keras import activations, initializers, ops

from keras_lru.checks import check_positive_integer
from keras_lru.layers.activations import get_activation
from keras_lru.layers.arguments import (
    ActivationLike,
    ConstraintLike,
    InitializerLike,
    RegularizerLike,
)
from keras_lru.layers.feedthrough import Feedthrough, check_feedthrough
from keras_lru.layers.recurrent import RecurrentCell, RecurrentLayer
from keras_lru.ops.dense_recurrence import DenseRecurrence


@keras.saving.register_keras_serializable(package="keras_lru")
class DenseRNNCell(Feedthrough, RecurrentCell):
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

    state_names = ("x",)

    def __init__(
        self,
        units: int,
        state_size: int | None = None,
        activation: ActivationLike = "tanh",
        feedthrough: str = "auto",
        recurrent_initializer: InitializerLike = None,
        input_initializer: InitializerLike = None,
        output_initializer: InitializerLike = None,
        feedthrough_initializer: InitializerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        input_regularizer: RegularizerLike = None,
        output_regularizer: RegularizerLike = None,
        feedthrough_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        input_constraint: ConstraintLike = None,
        output_constraint: ConstraintLike = None,
        feedthrough_constraint: ConstraintLike = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        units = check_positive_integer("units", units)
        num_states = check_positive_integer(
            "state_size", units if state_size is None else state_size
        )
        check_feedthrough(feedthrough)
        activation = get_activation("activation", activation)
        super().__init__(units, seed=seed, **kwargs)
        self.num_states = num_states
        self.activation = activation
        self.feedthrough = feedthrough
        self.set_weight_options(
            recurrent_initializer=recurrent_initializer,
            input_initializer=input_initializer,
            output_initializer=output_initializer,
            feedthrough_initializer=feedthrough_initializer,
            recurrent_regularizer=recurrent_regularizer,
            input_regularizer=input_regularizer,
            output_regularizer=output_regularizer,
            feedthrough_regularizer=feedthrough_regularizer,
            recurrent_constraint=recurrent_constraint,
            input_constraint=input_constraint,
            output_constraint=output_constraint,
            feedthrough_constraint=feedthrough_constraint,
        )

    @property
    def state_size(self):
        return [self.num_states]

    def build(self, input_shape):
        input_dim = self.known_input_dim(input_shape)
        N = self.num_states
        self.A = self._add_matrix("A", (N, N), "recurrent", recurrent=True)
        self.B = self._add_matrix("B", (input_dim, N), "input", recurrent=True)
        self.C = self._add_matrix("C", (N, self.units), "output")
        self.D = self._add_feedthrough(input_dim)
        self.built = True

    def _add_matrix(self, name, shape, group, recurrent=False):
        initializer = getattr(
            self, f"{group}_initializer"
        ) or initializers.VarianceScaling(
            1.0, "fan_in", "untruncated_normal", seed=self.seed_for(group)
        )
        return self.make_weight(name, shape, initializer, group, recurrent)

    def system(self):
        A, B, C = (ops.convert_to_tensor(w) for w in (self.A, self.B, self.C))
        D = None if self.D is None else ops.convert_to_tensor(self.D)
        return DenseRecurrence(A, B, C, D, self.activation, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "state_size": self.num_states,
            "activation": activations.serialize(self.activation),
            "feedthrough": self.feedthrough,
        }


@keras.saving.register_keras_serializable(package="keras_lru")
class DenseRNN(RecurrentLayer):
    """RNN layer with a dense transition: RNN-tanh, RNN-ReLU and RNN-Lin.

    The vanilla RNN that section 2 of [Resurrecting Recurrent Neural Networks for Long
    Sequences](https://arxiv.org/abs/2303.06349) (Orvieto et al., 2023) starts from:

        x_k = σ(A x_{k-1} + B u_k)
        y_k = C x_k + D u_k

    Used as `keras_lru.layers.LRU` is, in `keras_lru.layers.ResidualBlock` say, and in
    everything as `keras.layers.LSTM`. Unlike `LRU` it runs one step after the other:
    training takes time proportional to the length of the sequences.

    The recurrence, its states and its weights are float32 at least, whatever the dtype
    policy; the projections B, C and D run in the compute dtype.

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
        activity_regularizer: Regularizer of the outputs.
        recurrent_constraint: Constraint of `A`.
        input_constraint: Constraint of `B`.
        output_constraint: Constraint of `C`.
        feedthrough_constraint: Constraint of `D`.
        return_sequences: Whether to return all outputs or the last one.
        return_state: Whether to return the last state too.
        go_backwards: If true, process the inputs from last to first, and return the
            outputs in that order.
        stateful: If true, the last state of each sequence is the initial state of the
            sequence at its place in the next batch, until `reset_state()`.
        zero_output_for_mask: If true, outputs at masked steps are zero; else they
            repeat the output before them.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, input_dim)`. Any time, 0 included, known or not.
        initial_state: List `[x]`, `(batch, state_size)`, or `(1, …)` for one that all
            sequences start from. `None` means zeros, or the kept state of a stateful
            layer.
        mask: Boolean `(batch, time)` or `(batch, time, 1)`, or `None`. A false step
            changes neither state nor output. One that comes with the inputs, from
            `Masking` or `Embedding`, counts beside an `initial_state` too.
        training: Ignored.

    Returns:
        Outputs `(batch, time, units)`, or `(batch, units)` without `return_sequences`,
        in the compute dtype. With `return_state`, `(outputs, x)`.

    Raises:
        ValueError: At construction, if an argument is out of its range. When built, if
            `feedthrough="vector"` meets other dimensions, or `stateful` a batch size of
            `None`. When called, if the inputs have not rank 3 or other features than
            at first, or the mask or initial state does not fit them.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers import DenseRNN
    >>> inputs = np.random.random((32, 10, 8)).astype("float32")
    >>> tuple(DenseRNN(4)(inputs).shape)
    (32, 4)
    >>> layer = DenseRNN(4, 16, "relu", return_sequences=True, return_state=True)
    >>> outputs, x = layer(inputs)
    >>> tuple(outputs.shape), tuple(x.shape)
    ((32, 10, 4), (32, 16))
    """

    cell_class = DenseRNNCell

    def __init__(
        self,
        units: int,
        state_size: int | None = None,
        activation: ActivationLike = "tanh",
        feedthrough: str = "auto",
        recurrent_initializer: InitializerLike = None,
        input_initializer: InitializerLike = None,
        output_initializer: InitializerLike = None,
        feedthrough_initializer: InitializerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        input_regularizer: RegularizerLike = None,
        output_regularizer: RegularizerLike = None,
        feedthrough_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        input_constraint: ConstraintLike = None,
        output_constraint: ConstraintLike = None,
        feedthrough_constraint: ConstraintLike = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        seed: int | None = None,
        **kwargs: Any,
    ):
        cell = DenseRNNCell(
            units=units,
            state_size=state_size,
            activation=activation,
            feedthrough=feedthrough,
            recurrent_initializer=recurrent_initializer,
            input_initializer=input_initializer,
            output_initializer=output_initializer,
            feedthrough_initializer=feedthrough_initializer,
            recurrent_regularizer=recurrent_regularizer,
            input_regularizer=input_regularizer,
            output_regularizer=output_regularizer,
            feedthrough_regularizer=feedthrough_regularizer,
            recurrent_constraint=recurrent_constraint,
            input_constraint=input_constraint,
            output_constraint=output_constraint,
            feedthrough_constraint=feedthrough_constraint,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="dense_rnn_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            **kwargs,
        )
