"""The RG-LRU, the LRU's gated successor, trained in parallel over time."""

import keras
from keras import ops

from keras_lru.layers.recurrent_layer import RecurrentLayer
from keras_lru.layers.rg_lru_cell import RGLRUCell
from keras_lru.ops.algorithm import check_scan
from keras_lru.ops.indexing import running, zero_without_steps
from keras_lru.ops.linear_recurrence import linear_recurrence


@keras.saving.register_keras_serializable(package="keras_lru")
class RGLRU(RecurrentLayer):
    """Real-Gated Linear Recurrent Unit layer - De et al., 2024.

    The gated successor of the LRU, section 2.4 of [Griffin: Mixing Gated Linear
    Recurrences with Local Attention for Efficient Language Models](
    https://arxiv.org/abs/2402.19427). Its state is real, decays at a rate that each
    input sets, and is the output:

        r_t = sigmoid(W_a x_t + b_a)
        i_t = sigmoid(W_x x_t + b_x)
        log a_t = −8 softplus(Lambda) ⊙ r_t
        h_t = a_t ⊙ h_{t-1} + sqrt(1 − a_t²) ⊙ (i_t ⊙ x_t)

    Used as `keras_lru.layers.LRU` is, and in everything as `keras.layers.LSTM`. The
    gates see the inputs and not the state, so training runs in parallel over time.

    The recurrence, its state and its weights are float32 at least, whatever the dtype
    policy; the products W_a x_t and W_x x_t run in the compute dtype. The gradient of
    the square root is bounded by 1000, as in the published implementation.

    Args:
        units: Positive integer, features of the inputs, of the state and of the output.
        num_heads: Positive integer that divides `units`: the gates' matrices W_a and
            W_x are block-diagonal, of that many blocks. 1 for dense ones.
        a_min: Smallest a_t of an open gate (r_t = 1) at initialization, in
            [0, a_max]. The paper's a^c.
        a_max: Largest one, in [a_min, 1].
        gate_initializer: Initializer of the blocks of `W_a` and of `W_x`, called for
            the matrix `(units / num_heads, units)` of all blocks side by side. `None`:
            N(0, num_heads / units).
        bias_initializer: Initializer of `b_a` and `b_x`. Each gate gets copies of both
            initializers, with seeds of their own.
        recurrent_regularizer: Regularizer of `Lambda`.
        gate_regularizer: Regularizer of `W_a` and `W_x`.
        bias_regularizer: Regularizer of `b_a` and `b_x`.
        activity_regularizer: Regularizer of the outputs.
        recurrent_constraint: Constraint of `Lambda`.
        gate_constraint: Constraint of `W_a` and `W_x`.
        bias_constraint: Constraint of `b_a` and `b_x`.
        return_sequences: Whether to return all outputs or the last one.
        return_state: Whether to return the last state too.
        go_backwards: If true, process the inputs from last to first, and return the
            outputs in that order.
        stateful: If true, the last state of each sequence is the initial state of the
            sequence at its place in the next batch, until `reset_state()`.
        zero_output_for_mask: If true, outputs at masked steps are zero; else they
            repeat the output before them.
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"` or
            `"associative"`; see `keras_lru.ops.linear_recurrence`. Same results.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, units)`. Any time, 0 included, known or not.
        initial_state: List `[h]`, `(batch, units)`. `None` means zeros, or the kept
            state of a stateful layer.
        mask: Boolean `(batch, time)`, or `None`. A false step changes neither state nor
            output.
        training: Ignored.

    Returns:
        Outputs `(batch, time, units)`, or `(batch, units)` without `return_sequences`,
        in the compute dtype. With `return_state`, `(outputs, h)`.

    Raises:
        ValueError: At construction, if an argument is out of its range. When built, if
            the inputs have other than `units` features, or `stateful` meets a batch
            size of `None`. When called, if the inputs have not rank 3 or other
            features than at first, or the mask or initial state does not fit them.

    Example:

    >>> import numpy as np
    >>> from keras_lru.layers import RGLRU
    >>> inputs = np.random.random((32, 10, 8)).astype("float32")
    >>> tuple(RGLRU(8)(inputs).shape)
    (32, 8)
    >>> layer = RGLRU(8, num_heads=2, return_sequences=True, return_state=True)
    >>> outputs, h = layer(inputs)
    >>> tuple(outputs.shape), tuple(h.shape)
    ((32, 10, 8), (32, 8))
    """

    cell_class = RGLRUCell
    cell_name = "rg_lru_cell"
    keeps_zero_state = True

    def __init__(
        self,
        units,
        num_heads=1,
        a_min=0.9,
        a_max=0.999,
        gate_initializer=None,
        bias_initializer="zeros",
        recurrent_regularizer=None,
        gate_regularizer=None,
        bias_regularizer=None,
        activity_regularizer=None,
        recurrent_constraint=None,
        gate_constraint=None,
        bias_constraint=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        zero_output_for_mask=False,
        scan="auto",
        seed=None,
        **kwargs,
    ):
        check_scan(scan)
        super().__init__(locals(), **kwargs)
        self.scan = scan

    def _solve(self, inputs, initial_state, lengths):
        a, b = self.cell.recurrence(inputs)
        if lengths is not None:
            # Past the end the state stays as it is.
            runs = running(lengths, ops.shape(inputs)[1])[..., None]
            a = ops.where(runs, a, ops.ones_like(a))
            b = ops.where(runs, b, ops.zeros_like(b))
        initial = None if initial_state is None else initial_state[0]
        states, last = linear_recurrence(a, b, initial, scan=self.scan)
        outputs = states
        if not self.return_sequences:
            outputs = zero_without_steps(last, lengths)
        return ops.cast(outputs, self.compute_dtype), [last]

    def get_config(self):
        return {**super().get_config(), "scan": self.scan}
