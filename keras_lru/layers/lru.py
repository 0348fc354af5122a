"""The Linear Recurrent Unit, trained in parallel over time."""

import math

import keras

from keras_lru.layers.diagonal_rnn import DiagonalRNN
from keras_lru.layers.lru_cell import LRUCell


@keras.saving.register_keras_serializable(package="keras_lru")
class LRU(DiagonalRNN):
    """Linear Recurrent Unit layer - Orvieto et al., 2023.

    A recurrent layer with a diagonal, linear, complex recurrence, section 1 of
    [Resurrecting Recurrent Neural Networks for Long Sequences](
    https://arxiv.org/abs/2303.06349):

        x_k = Λ x_{k-1} + exp(gamma_log) ⊙ (B u_k)
        y_k = Re(C x_k) + D u_k
        Λ   = diag(exp(−exp(nu_log) + i exp(theta_log)))

    Used as `keras.layers.LSTM` is: masks, `initial_state`, `return_state`, `stateful`,
    `go_backwards`, `Bidirectional` and saving mean what they mean there. Since nothing
    in the recurrence is nonlinear, training runs in parallel over time; put
    nonlinearities between layers (`keras_lru.layers.ResidualBlock`).

    The recurrence, its states and its weights are float32 at least, whatever the dtype
    policy; the projections B, C and D run in the compute dtype.

    Args:
        units: Positive integer, O, features of the output.
        state_size: Positive integer, N, complex states. `None` means `units`.
        r_min: Inner radius of the ring on which the eigenvalues start, in [0, r_max].
            Closer to 1 for longer memory: about `1 / (1 − r)` steps.
        r_max: Outer radius, in [r_min, 1].
        max_phase: Largest initial phase of an eigenvalue, in radians. Small for long
            sequences (the paper's PathX: π/10).
        parameterization: What is trained (section 3.3): `"stable_exp"` (`nu_log`,
            `theta_log`; always stable), `"exp"` (`nu`, `theta`) or `"real_imag"`
            (`lambda_re`, `lambda_im`).
        normalize: Whether to have `gamma_log`, the normalization of section 3.4.
        feedthrough: D: `"vector"` `(units,)`, which needs inputs of `units` features;
            `"matrix"` `(input_dim, units)`; `"none"`; `"auto"` for a vector where the
            dimensions agree, else a matrix.
        input_initializer: Initializer of B, called for the real matrix `[Re B, Im B]`,
            `(input_dim, 2 · state_size)`. `None`: each part N(0, 1/(2 · input_dim)).
        output_initializer: Initializer of C, called for `[Re C, Im C]`,
            `(state_size, 2 · units)`. `None`: each part N(0, 1/state_size).
        feedthrough_initializer: Initializer of D. `None`: N(0, 1).
        recurrent_regularizer: Regularizer of the two eigenvalue weights.
        input_regularizer: Regularizer of `B_re` and `B_im`.
        output_regularizer: Regularizer of `C_re` and `C_im`.
        feedthrough_regularizer: Regularizer of `D`.
        activity_regularizer: Regularizer of the outputs.
        recurrent_constraint: Constraint of the two eigenvalue weights.
        input_constraint: Constraint of `B_re` and `B_im`.
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
        inputs: `(batch, time, input_dim)`. Any time, 0 included, known or not.
        initial_state: List `[x_re, x_im]`, each `(batch, state_size)`. `None` means
            zeros, or the kept state of a stateful layer.
        mask: Boolean `(batch, time)`, or `None`. A false step changes neither state nor
            output.
        training: Ignored.

    Returns:
        Outputs `(batch, time, units)`, or `(batch, units)` without `return_sequences`,
        in the compute dtype. With `return_state`, `(outputs, x_re, x_im)`.

    Raises:
        ValueError: At construction, if an argument is out of its range. When built, if
            `feedthrough="vector"` meets other dimensions, or `stateful` a batch size of
            `None`. When called, if the inputs have not rank 3 or other features than
            at first, or the mask or initial state does not fit them.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers import LRU
    >>> inputs = np.random.random((32, 10, 8)).astype("float32")
    >>> tuple(LRU(4)(inputs).shape)
    (32, 4)
    >>> layer = LRU(4, state_size=16, return_sequences=True, return_state=True)
    >>> outputs, x_re, x_im = layer(inputs)
    >>> tuple(outputs.shape), tuple(x_re.shape)
    ((32, 10, 4), (32, 16))
    """

    cell_class = LRUCell
    cell_name = "lru_cell"

    def __init__(
        self,
        units,
        state_size=None,
        r_min=0.0,
        r_max=1.0,
        max_phase=2 * math.pi,
        parameterization="stable_exp",
        normalize=True,
        feedthrough="auto",
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
        scan="auto",
        block_size="auto",
        seed=None,
        **kwargs,
    ):
        super().__init__(locals(), **kwargs)
