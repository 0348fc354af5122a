"""The RG-LRU, the LRU's gated successor: one step, and all steps in parallel."""

from typing import Any

import keras
from keras import initializers, ops

from keras_lru.backend import expm1
from keras_lru.checks import check_positive_integer
from keras_lru.initializers.ring import check_ring
from keras_lru.layers.arguments import ConstraintLike, InitializerLike, RegularizerLike
from keras_lru.layers.gated import GatedCell, GatedSolver
from keras_lru.layers.recurrent import RecurrentLayer
from keras_lru.layers.serialization import reseed
from keras_lru.ops.gated_system import bounded_sqrt
from keras_lru.ops.sequences import is_split_in_rows, project

_C = 8.0
# As in the published implementation.
_EPSILON = 2.0**-24


@keras.saving.register_keras_serializable(package="keras_lru")
class RGLRUCell(GatedCell):
    """Cell class for the Real-Gated Linear Recurrent Unit.

    One step of the recurrence of [De et al., 2024](https://arxiv.org/abs/2402.19427),
    section 2.4:

        r_t = sigmoid(W_a x_t + b_a)
        i_t = sigmoid(W_x x_t + b_x)
        log a_t = −8 softplus(Lambda) ⊙ r_t
        h_t = a_t ⊙ h_{t-1} + sqrt(1 − a_t²) ⊙ (i_t ⊙ x_t)

    The output is h_t. Same weights, in the same order, as `keras_lru.layers.RGLRU`,
    which is the one to use on whole sequences: it runs in parallel over time. The cell
    is for step-by-step use, and for `keras.layers.RNN` and
    `keras.layers.StackedRNNCells`.

    The recurrence and its weights are float32 at least, whatever the dtype policy; a
    state comes back in the dtype it came in.

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
        recurrent_constraint: Constraint of `Lambda`.
        gate_constraint: Constraint of `W_a` and `W_x`.
        bias_constraint: Constraint of `b_a` and `b_x`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, units)`.
        states: List `[h]`, `(batch, units)`.
        training: Ignored.
        reset: Boolean, `(batch,)` or `(batch, 1)`: true where a sequence begins.
        reset_to: List like `states`, what sequences begin with; zeros if left out.

    Returns:
        `(output, [h])`, the output `(batch, units)` in the compute dtype.

    Raises:
        ValueError: If an argument is out of its range (at construction), or the inputs
            have other than `units` features (when built).

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_lru.layers import RGLRUCell
    >>> layer = keras.layers.RNN(RGLRUCell(4, num_heads=2), return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 4), "float32")).shape)
    (2, 5, 4)
    """

    def __init__(
        self,
        units: int,
        num_heads: int = 1,
        a_min: float = 0.9,
        a_max: float = 0.999,
        gate_initializer: InitializerLike = None,
        bias_initializer: InitializerLike = "zeros",
        recurrent_regularizer: RegularizerLike = None,
        gate_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        gate_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        seed: int | None = None,
        **kwargs: Any,
    ):
        units = check_positive_integer("units", units)
        num_heads = check_positive_integer("num_heads", num_heads)
        if units % num_heads:
            raise ValueError(
                "`num_heads` must divide `units`. "
                f"Received: num_heads={num_heads}, units={units}"
            )
        check_ring(a_min, a_max, ("a_min", "a_max"))
        super().__init__(units, seed=seed, **kwargs)
        self.num_heads = num_heads
        self.a_min = float(a_min)
        self.a_max = float(a_max)
        self.set_weight_options(
            gate_initializer=gate_initializer,
            bias_initializer=bias_initializer,
            recurrent_regularizer=recurrent_regularizer,
            gate_regularizer=gate_regularizer,
            bias_regularizer=bias_regularizer,
            recurrent_constraint=recurrent_constraint,
            gate_constraint=gate_constraint,
            bias_constraint=bias_constraint,
        )

    def build(self, input_shape):
        if self.known_input_dim(input_shape) != self.units:
            raise ValueError(
                "`inputs` must have `units` features. Received: "
                f"units={self.units}, inputs of {input_shape[-1]} features"
            )
        self.Lambda = self.make_weight(
            "Lambda", (self.units,), self._initial_lambda, "recurrent", recurrent=True
        )
        self.W_a, self.b_a = self._add_gate("a")
        self.W_x, self.b_x = self._add_gate("x")
        self.built = True

    def _initial_lambda(self, shape, dtype=None):
        u = keras.random.uniform(shape, dtype=dtype, seed=self.seed_for("Lambda"))
        a = self.a_min + (self.a_max - self.a_min) * u
        # a = exp(−8 softplus(Λ)); finite at 0 and 1 too.
        softplus = -ops.log(ops.clip(a, _EPSILON, 1.0 - _EPSILON)) / _C
        return ops.log(ops.expm1(softplus))

    def _add_gate(self, name):
        heads, width = self.num_heads, self.units // self.num_heads
        initializer = self._copy_for(
            name, self.gate_initializer
        ) or initializers.VarianceScaling(
            1.0, "fan_in", "untruncated_normal", seed=self.seed_for("gate", name)
        )
        bias_initializer = self._copy_for(name, self.bias_initializer)

        def blocks(shape, dtype=None):
            # Not for `shape`, of which Keras would take a wrong fan-in.
            matrix = initializer((width, self.units), dtype=dtype)
            matrix = ops.reshape(matrix, (width, heads, width))
            return ops.transpose(matrix, (1, 0, 2))

        shape = (heads, width, width)
        return (
            self.make_weight(f"W_{name}", shape, blocks, "gate"),
            self.make_weight(f"b_{name}", (self.units,), bias_initializer, "bias"),
        )

    def _copy_for(self, name, initializer):
        """The user's initializer with a seed of the gate's own: Keras's repeat."""
        if not isinstance(initializer, initializers.Initializer):
            return initializer
        config = initializer.get_config()
        if "seed" not in config:
            return initializer
        seed = self._drawn_seed if config["seed"] is None else None
        return type(initializer).from_config(reseed(config, seed, name))

    def coefficients(self, inputs):
        x = ops.cast(inputs, self.state_dtype)
        Lambda = ops.convert_to_tensor(self.Lambda)
        log_a = -_C * ops.softplus(Lambda) * self._gate(inputs, self.W_a, self.b_a)
        scale = bounded_sqrt(-expm1(2.0 * log_a))
        return ops.exp(log_a), scale * (self._gate(inputs, self.W_x, self.b_x) * x)

    def _gate(self, inputs, blocks, bias):
        """The products in the compute dtype, all else in that of the state."""
        if self.num_heads == 1:
            x = project(inputs, blocks[0], self.compute_dtype)
        else:
            shape = ops.shape(inputs)
            steps, leading = (
                ("bt", shape[:2]) if is_split_in_rows(inputs) else ("b", (-1,))
            )
            x = ops.reshape(inputs, (*leading, *blocks.shape[:2]))
            x = ops.einsum(f"{steps}hi,hij->{steps}hj", x, ops.cast(blocks, x.dtype))
            x = ops.reshape(x, (-1, *shape[1:]))
        return ops.sigmoid(ops.cast(x, self.state_dtype) + bias)

    def get_config(self):
        return {
            **super().get_config(),
            "num_heads": self.num_heads,
            "a_min": self.a_min,
            "a_max": self.a_max,
        }


@keras.saving.register_keras_serializable(package="keras_lru")
class RGLRU(GatedSolver, RecurrentLayer):
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
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"`,
            `"associative"` or, on JAX, `"pallas"`; see
            `keras_lru.ops.linear_recurrence`. Same results.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, units)`. Any time, 0 included, known or not.
        initial_state: List `[h]`, `(batch, units)`, or `(1, …)` for one that all
            sequences start from. `None` means zeros, or the kept state of a stateful
            layer.
        mask: Boolean `(batch, time)` or `(batch, time, 1)`, or `None`. A false step
            changes neither state nor output. One that comes with the inputs, from
            `Masking` or `Embedding`, counts beside an `initial_state` too.
        training: Ignored.
        reset: Boolean, `(batch, time)` or `(batch, time, 1)`: true where a sequence
            begins, which knows nothing of the steps before it.
        reset_to: List like `initial_state`, what those sequences begin with; zeros if
            left out.

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

    def __init__(
        self,
        units: int,
        num_heads: int = 1,
        a_min: float = 0.9,
        a_max: float = 0.999,
        gate_initializer: InitializerLike = None,
        bias_initializer: InitializerLike = "zeros",
        recurrent_regularizer: RegularizerLike = None,
        gate_regularizer: RegularizerLike = None,
        bias_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        gate_constraint: ConstraintLike = None,
        bias_constraint: ConstraintLike = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        scan: str = "auto",
        seed: int | None = None,
        **kwargs: Any,
    ):
        cell = RGLRUCell(
            units=units,
            num_heads=num_heads,
            a_min=a_min,
            a_max=a_max,
            gate_initializer=gate_initializer,
            bias_initializer=bias_initializer,
            recurrent_regularizer=recurrent_regularizer,
            gate_regularizer=gate_regularizer,
            bias_regularizer=bias_regularizer,
            recurrent_constraint=recurrent_constraint,
            gate_constraint=gate_constraint,
            bias_constraint=bias_constraint,
            seed=seed,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="rg_lru_cell",
        )
        super().__init__(
            cell,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            stateful=stateful,
            zero_output_for_mask=zero_output_for_mask,
            activity_regularizer=activity_regularizer,
            scan=scan,
            **kwargs,
        )
