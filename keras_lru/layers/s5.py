"""The simplified state space layer S5, one of the paper's baselines."""

import keras

from keras_lru.layers.diagonal_rnn import DiagonalRNN
from keras_lru.layers.s5_cell import S5Cell


@keras.saving.register_keras_serializable(package="keras_lru")
class S5(DiagonalRNN):
    """S5 layer - Smith et al., 2023.

    A continuous-time diagonal system with many inputs and outputs, discretized with a
    zero-order hold ([Simplified State Space Layers for Sequence Modeling](
    https://arxiv.org/abs/2208.04933), sections 2.3 and 3):

        x_k = exp(ΛΔ) x_{k-1} + Λ^{-1} (exp(ΛΔ) − I) B u_k
        y_k = 2 Re(C x_k) + D u_k

    Λ starts as the eigenvalues of HiPPO-N, the normal part of HiPPO-LegS, in `blocks`
    blocks; B and C start in the basis of its eigenvectors, as V^{-1} B and C V.

    Used as `keras_lru.LRU` is, a baseline of whose paper it is ([Resurrecting
    Recurrent Neural Networks for Long Sequences](https://arxiv.org/abs/2303.06349)):
    masks, `initial_state`, `return_state`, `stateful`, `go_backwards`, `Bidirectional`
    and saving mean the same. In a model, `keras_lru.layers.ResidualBlock` goes around
    it.

    The recurrence, its states and its weights are float32 at least, whatever the dtype
    policy; the projections B, C and D run in the compute dtype.

    Args:
        units: Positive integer, features of the output.
        state_size: Positive integer, P, complex states, conjugates included. `None`
            means `units`.
        blocks: Positive integer, J. Λ starts as J times the eigenvalues of HiPPO-N of
            P/J states, which must be whole, and even with `conjugate_symmetry`.
        conjugate_symmetry: Whether states are conjugate pairs, of which P/2 states are
            computed and trained, and `y = 2 Re(C x) + D u`. If false, all P are, and
            `y = Re(C x) + D u`.
        dt_min: Smallest initial step size Δ. A state remembers about 1/Δ steps.
        dt_max: Largest initial Δ. log Δ starts uniform, one for each state.
        clip_eigenvalues: Whether Re Λ is kept at −1e-4 or less, so that the system is
            stable whatever the optimizer does. Of the published models some are clipped
            (LRA's CIFAR-10), others not (PathX).
        feedthrough: D: `"vector"` `(units,)`, which needs inputs of `units` features;
            `"matrix"` `(input_dim, units)`; `"none"`; `"auto"` for a vector where the
            dimensions agree, else a matrix.
        input_initializer: Initializer of the real matrix B before its rotation,
            `(input_dim, P)`. `None`: LeCun normal, N(0, 1/input_dim).
        output_initializer: Initializer of C before its rotation, called for
            `[Re C, Im C]`, `(P, 2 · units)`. `None`: LeCun normal, N(0, 1/P).
        feedthrough_initializer: Initializer of D. `None`: N(0, 1).
        recurrent_regularizer: Regularizer of `lambda_re` and `lambda_im`.
        input_regularizer: Regularizer of `B_re` and `B_im`.
        output_regularizer: Regularizer of `C_re` and `C_im`.
        feedthrough_regularizer: Regularizer of `D`.
        activity_regularizer: Regularizer of the outputs.
        recurrent_constraint: Constraint of `lambda_re` and `lambda_im`.
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
        initial_state: List `[x_re, x_im]`, each `(batch, P/2)` with
            `conjugate_symmetry`, else `(batch, P)`. `None` means zeros, or the kept
            state of a stateful layer.
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
    >>> from keras_lru.layers import S5
    >>> inputs = np.random.random((32, 10, 8)).astype("float32")
    >>> tuple(S5(4)(inputs).shape)
    (32, 4)
    >>> layer = S5(4, state_size=16, return_sequences=True, return_state=True)
    >>> outputs, x_re, x_im = layer(inputs)
    >>> tuple(outputs.shape), tuple(x_re.shape)
    ((32, 10, 4), (32, 8))
    """

    cell_class = S5Cell
    cell_name = "s5_cell"

    def __init__(
        self,
        units,
        state_size=None,
        blocks=1,
        conjugate_symmetry=True,
        dt_min=0.001,
        dt_max=0.1,
        clip_eigenvalues=False,
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
