"""The diagonal state space layer S4D, one of the paper's baselines."""

import keras

from keras_lru.layers.diagonal_rnn import DiagonalRNN
from keras_lru.layers.s4d_cell import S4DCell


@keras.saving.register_keras_serializable(package="keras_lru")
class S4D(DiagonalRNN):
    """S4D layer - Gu et al., 2022.

    A continuous-time diagonal system for each feature u of the inputs, on its own,
    discretized with a zero-order hold ([On the Parameterization and Initialization of
    Diagonal State Space Models](https://arxiv.org/abs/2206.11893), sections 3 and 4):

        x_k = exp(ΛΔ) x_{k-1} + Λ^{-1} (exp(ΛΔ) − I) u_k
        y_k = 2 Re(C · x_k) + D u_k
        Λ   = −exp(nu_log) + i lambda_im

    B is 1, as it only scales C. Features do not mix: the gate of
    `keras_lru.layers.ResidualBlock` does that.

    Used as `keras_lru.LRU` is, a baseline of whose paper it is ([Resurrecting
    Recurrent Neural Networks for Long Sequences](https://arxiv.org/abs/2303.06349)):
    masks, `initial_state`, `return_state`, `stateful`, `go_backwards`, `Bidirectional`
    and saving mean the same.

    The recurrence, its states and its weights are float32 at least, whatever the dtype
    policy; the products with inputs and states run in the compute dtype.

    Args:
        units: Positive integer, H, features of the inputs and of the output.
        state_size: Even positive integer, N, complex states of each feature, in
            conjugate pairs, of which N/2 states are computed and trained.
        initialization: Where Λ starts: `"lin"` for `−½ + iπn`, `"inv"` for
            `−½ + i(N/π)(N/(2n+1) − 1)`, or `"legs"` for the eigenvalues of HiPPO-N.
        dt_min: Smallest initial step size Δ. A feature remembers about 1/Δ steps.
        dt_max: Largest initial Δ. log Δ starts uniform, one for each feature.
        output_initializer: Initializer of C, called for `[Re C, Im C]`, `(H, N)`.
            `None`: each part N(0, 1/2).
        feedthrough_initializer: Initializer of D, `(H,)`. `None`: N(0, 1).
        recurrent_regularizer: Regularizer of `nu_log` and `lambda_im`.
        output_regularizer: Regularizer of `C_re` and `C_im`.
        feedthrough_regularizer: Regularizer of `D`.
        activity_regularizer: Regularizer of the outputs.
        recurrent_constraint: Constraint of `nu_log` and `lambda_im`.
        output_constraint: Constraint of `C_re` and `C_im`.
        feedthrough_constraint: Constraint of `D`.
        return_sequences: Whether to return all outputs or the last one.
        return_state: Whether to return the last state too.
        go_backwards: If true, process the inputs from last to first, and return the
            outputs in that order.
        stateful: If true, the last state of each sequence is the initial state of the
            sequence at its place in the next batch, until `reset_state()`.
        zero_output_for_mask: If true, outputs at masked steps are zero; else they
            repeat the output before them.
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"` or
            `"associative"`; see `keras_lru.ops.diagonal_ssm`. Same results.
        block_size: Steps per block of the block form, or `"auto"`. Same results.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, units)`. Any time, 0 included, known or not.
        initial_state: List `[x_re, x_im]`, each `(batch, units · N/2)`, feature by
            feature. `None` means zeros, or the kept state of a stateful layer.
        mask: Boolean `(batch, time)`, or `None`. A false step changes neither state nor
            output.
        training: Ignored.

    Returns:
        Outputs `(batch, time, units)`, or `(batch, units)` without `return_sequences`,
        in the compute dtype. With `return_state`, `(outputs, x_re, x_im)`.

    Raises:
        ValueError: At construction, if an argument is out of its range. When built, if
            the inputs have other than `units` features, or `stateful` meets a batch
            size of `None`. When called, if the inputs have not rank 3 or other features
            than at first, or the mask or initial state does not fit them.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers import S4D
    >>> inputs = np.random.random((32, 10, 8)).astype("float32")
    >>> tuple(S4D(8)(inputs).shape)
    (32, 8)
    >>> layer = S4D(8, state_size=4, return_sequences=True, return_state=True)
    >>> outputs, x_re, x_im = layer(inputs)
    >>> tuple(outputs.shape), tuple(x_re.shape)
    ((32, 10, 8), (32, 16))
    """

    cell_class = S4DCell
    cell_name = "s4d_cell"

    def __init__(
        self,
        units,
        state_size=64,
        initialization="lin",
        dt_min=0.001,
        dt_max=0.1,
        output_initializer=None,
        feedthrough_initializer=None,
        recurrent_regularizer=None,
        output_regularizer=None,
        feedthrough_regularizer=None,
        activity_regularizer=None,
        recurrent_constraint=None,
        output_constraint=None,
        feedthrough_constraint=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        zero_output_for_mask=False,
        scan="auto",
        block_size="auto",
        seed=None,
        **kwargs,
    ):
        super().__init__(locals(), **kwargs)
