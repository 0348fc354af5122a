"""The RNN with a dense transition, the one at the bottom of the paper's ladder."""

import keras
from keras import ops

from keras_lru.layers.dense_rnn_cell import DenseRNNCell
from keras_lru.layers.recurrent_layer import RecurrentLayer
from keras_lru.ops.dense_recurrence import dense_recurrence
from keras_lru.ops.indexing import last_step, zero_without_steps
from keras_lru.ops.linear_recurrence import states_after


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
        initial_state: List `[x]`, `(batch, state_size)`. `None` means zeros, or the
            kept state of a stateful layer.
        mask: Boolean `(batch, time)`, or `None`. A false step changes neither state nor
            output.
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
    cell_name = "dense_rnn_cell"

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
        activity_regularizer=None,
        recurrent_constraint=None,
        input_constraint=None,
        output_constraint=None,
        feedthrough_constraint=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        zero_output_for_mask=False,
        seed=None,
        **kwargs,
    ):
        super().__init__(locals(), **kwargs)

    def _solve(self, inputs, initial_state, lengths):
        cell = self.cell
        (initial,) = initial_state or self.get_initial_state(ops.shape(inputs)[0])
        entries, last = dense_recurrence(
            cell.read(inputs),
            cell.A,
            cell.activation,
            ops.cast(initial, cell.state_dtype),
            lengths,
        )
        if self.return_sequences:
            outputs = cell.write(states_after(entries, last), inputs)
        else:
            outputs = cell.write(last, last_step(inputs, lengths))
            outputs = zero_without_steps(outputs, lengths)
        return outputs, [last]
