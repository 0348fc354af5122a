"""One step of the RG-LRU, and the weights the layer shares with it."""

import keras
from keras import initializers, ops, tree

from keras_lru.checks import check_positive_integer
from keras_lru.initializers.ring import check_ring
from keras_lru.layers.copies import reseed
from keras_lru.layers.recurrent_cell import RecurrentCell, check_states
from keras_lru.ops.gradients import custom_gradient

_C = 8.0
# As in the published implementation.
_MAX_SQRT_SLOPE = 1000.0
_EPSILON = 2.0**-24


@keras.saving.register_keras_serializable(package="keras_lru")
class RGLRUCell(RecurrentCell):
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
        units,
        num_heads=1,
        a_min=0.9,
        a_max=0.999,
        gate_initializer=None,
        bias_initializer="zeros",
        recurrent_regularizer=None,
        gate_regularizer=None,
        bias_regularizer=None,
        recurrent_constraint=None,
        gate_constraint=None,
        bias_constraint=None,
        seed=None,
        **kwargs,
    ):
        check_positive_integer("units", units)
        check_positive_integer("num_heads", num_heads)
        if units % num_heads:
            raise ValueError(
                "`num_heads` must divide `units`. "
                f"Received: num_heads={num_heads}, units={units}"
            )
        check_ring(a_min, a_max, ("a_min", "a_max"))
        super().__init__(locals(), seed, **kwargs)
        self.units = int(units)
        self.num_heads = int(num_heads)
        self.a_min = float(a_min)
        self.a_max = float(a_max)
        self.state_size = [self.units]
        self.state_names = ("h",)
        self.output_size = self.units

    def build(self, input_shape):
        if self._known_input_dim(input_shape) != self.units:
            raise ValueError(
                "`inputs` must have `units` features. Received: "
                f"units={self.units}, inputs of {input_shape[-1]} features"
            )
        self.Lambda = self._add_weight(
            "Lambda", (self.units,), self._initial_lambda, "recurrent"
        )
        self.W_a, self.b_a = self._add_gate("a", 1)
        self.W_x, self.b_x = self._add_gate("x", 2)
        self.built = True

    def _initial_lambda(self, shape, dtype=None):
        u = keras.random.uniform(shape, dtype=dtype, seed=self._base_seed)
        a = self.a_min + (self.a_max - self.a_min) * u
        # a = exp(−8 softplus(Λ)); finite at 0 and 1 too.
        softplus = -ops.log(ops.clip(a, _EPSILON, 1.0 - _EPSILON)) / _C
        return ops.log(ops.expm1(softplus))

    def _add_gate(self, name, offset):
        heads, width = self.num_heads, self.units // self.num_heads
        initializer = self._copy_for(
            name, self.gate_initializer
        ) or initializers.VarianceScaling(
            1.0, "fan_in", "untruncated_normal", seed=self._base_seed + offset
        )
        bias_initializer = self._copy_for(name, self.bias_initializer)

        def blocks(shape, dtype=None):
            # Not for `shape`, of which Keras would take a wrong fan-in.
            matrix = initializer((width, self.units), dtype=dtype)
            matrix = ops.reshape(matrix, (width, heads, width))
            return ops.transpose(matrix, (1, 0, 2))

        shape = (heads, width, width)
        return (
            self._add_weight(f"W_{name}", shape, blocks, "gate"),
            self._add_weight(f"b_{name}", (self.units,), bias_initializer, "bias"),
        )

    def _copy_for(self, name, initializer):
        """The user's initializer with a seed of the gate's own: Keras's repeat."""
        if not isinstance(initializer, initializers.Initializer):
            return initializer
        config = initializer.get_config()
        if "seed" not in config:
            return initializer
        seed = self._base_seed if config["seed"] is None else None
        return type(initializer).from_config(reseed(config, seed, name))

    def recurrence(self, inputs):
        """`a` and `b` of `h_t = a_t ⊙ h_{t-1} + b_t`, of a step or of a sequence."""
        x = ops.cast(inputs, self.state_dtype)
        Lambda = ops.convert_to_tensor(self.Lambda)
        log_a = -_C * ops.softplus(Lambda) * self._gate(inputs, self.W_a, self.b_a)
        scale = bounded_sqrt(-ops.expm1(2.0 * log_a))
        return ops.exp(log_a), scale * (self._gate(inputs, self.W_x, self.b_x) * x)

    def _gate(self, inputs, blocks, bias):
        """The products in the compute dtype, all else in that of the state."""
        if self.num_heads == 1:
            x = self.project(inputs, blocks[0])
        else:
            shape = ops.shape(inputs)
            x = ops.reshape(inputs, (-1, *blocks.shape[:2]))
            x = ops.einsum("bhi,hij->bhj", x, ops.cast(blocks, x.dtype))
            x = ops.reshape(x, (-1, *shape[1:]))
        return ops.sigmoid(ops.cast(x, self.state_dtype) + bias)

    def call(self, inputs, states, training=False):
        inputs = ops.cast(inputs, self.compute_dtype)
        check_states("states", states, self, inputs.shape[0])
        a, b = self.recurrence(inputs)
        h = a * ops.cast(states[0], self.state_dtype) + b
        return ops.cast(h, self.compute_dtype), self._dtypes_of(states, [h])

    def get_config(self):
        return {
            **super().get_config(),
            "units": self.units,
            "num_heads": self.num_heads,
            "a_min": self.a_min,
            "a_max": self.a_max,
        }


def bounded_sqrt(x):
    """`sqrt(x)`, with a gradient that a closed gate, x = 0, does not make infinite.

    The gradient alone is bounded: a bound on `x` would let inputs through that gate.
    """

    @custom_gradient
    def sqrt(x):
        def gradient(*upstream):
            (d_y,) = tree.flatten(upstream)
            return d_y / ops.sqrt(ops.maximum(4.0 * x, _MAX_SQRT_SLOPE**-2))

        return ops.sqrt(x), gradient

    return sqrt(x)
