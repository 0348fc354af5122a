"""One step of S4D, and the weights the layer shares with it."""

import math

import keras
from keras import initializers, ops

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.initializers.hippo import (
    SPECTRA,
    ContinuousEigenvalues,
    LogTimescale,
    check_conjugate_pairs,
    check_timescales,
)
from keras_lru.layers.diagonal_cell import DiagonalCell
from keras_lru.layers.zero_order_hold import discretize, input_gain, step_size
from keras_lru.ops import complex as cx
from keras_lru.ops.channelwise_ssm import channelwise_ssm


@keras.saving.register_keras_serializable(package="keras_lru")
class S4DCell(DiagonalCell):
    """Cell class for the diagonal state space layer S4D.

    One step of the recurrence of [Gu et al., 2022](https://arxiv.org/abs/2206.11893),
    in each feature u of the inputs on its own, discretized with a zero-order hold:

        x_k = exp(ΛΔ) x_{k-1} + Λ^{-1} (exp(ΛΔ) − I) u_k
        y_k = 2 Re(C · x_k) + D u_k

    Same weights, in the same order, as `keras_lru.layers.S4D`, which is the one to use
    on whole sequences, and which describes the arguments: it runs in parallel over
    time. The cell is for step-by-step use, and for `keras.layers.RNN` and
    `keras.layers.StackedRNNCells`, with the limit that `LRUCell` names for masks on
    the JAX backend.

    The recurrence and its weights are float32 at least, whatever the dtype policy; a
    state comes back in the dtype it came in.

    Args:
        units: Positive integer, features of the inputs and of the output.
        state_size: Even positive integer, N, states of each feature.
        initialization: `"lin"`, `"inv"` or `"legs"`.
        dt_min: Smallest initial Δ.
        dt_max: Largest initial Δ.
        output_initializer: Initializer of C.
        feedthrough_initializer: Initializer of D.
        recurrent_regularizer: Regularizer of `nu_log` and `lambda_im`.
        output_regularizer: Regularizer of `C_re` and `C_im`.
        feedthrough_regularizer: Regularizer of `D`.
        recurrent_constraint: Constraint of `nu_log` and `lambda_im`.
        output_constraint: Constraint of `C_re` and `C_im`.
        feedthrough_constraint: Constraint of `D`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, units)`.
        states: List `[x_re, x_im]`, each `(batch, units · N/2)`.
        training: Ignored.

    Returns:
        `(output, [x_re, x_im])`, the output `(batch, units)` in the compute dtype.

    Raises:
        ValueError: As `keras_lru.layers.S4D`, or if the states do not fit.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_lru.layers import S4DCell
    >>> layer = keras.layers.RNN(S4DCell(3, state_size=8), return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 3)
    """

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
        recurrent_constraint=None,
        output_constraint=None,
        feedthrough_constraint=None,
        seed=None,
        **kwargs,
    ):
        check_positive_integer("units", units)
        pairs = check_conjugate_pairs(state_size) // 2
        check_choice("initialization", initialization, SPECTRA)
        check_timescales(dt_min, dt_max)
        super().__init__(units, units * pairs, locals(), seed, **kwargs)
        self.initialization = initialization
        self.dt_min = float(dt_min)
        self.dt_max = float(dt_max)

    def build(self, input_shape):
        input_dim = self._known_input_dim(input_shape)
        H = self.units
        if input_dim != H:
            raise ValueError(
                "`units` must be the number of features of `inputs`: each has a system "
                f"of its own. Received: units={H}, inputs of {input_dim} features"
            )
        n = self.num_states // H
        self.nu_log, self.lambda_im = (
            self._add_weight(
                name,
                (H, n),
                ContinuousEigenvalues(self.initialization, part),
                "recurrent",
            )
            for name, part in (("nu_log", "nu_log"), ("lambda_im", "im"))
        )
        self.log_delta = self._add_weight(
            "log_delta", (H,), LogTimescale(self.dt_min, self.dt_max, self._base_seed)
        )
        initializer = self.output_initializer or initializers.RandomNormal(
            stddev=math.sqrt(0.5), seed=self._base_seed + 3
        )
        self.C_re, self.C_im = self._add_pair(
            "C", (H, n), lambda dtype: initializer((H, 2 * n), dtype), "output"
        )
        self.D = self._add_feedthrough("vector", input_dim)
        self.built = True

    def _system(self):
        """`(Re Λ, Im Λ)` and Δ, each `(num_states,)`."""
        nu_log, imag, log_delta = (
            ops.convert_to_tensor(w)
            for w in (self.nu_log, self.lambda_im, self.log_delta)
        )
        delta = step_size(log_delta)[:, None] * ops.ones_like(imag)
        real, imag, delta = (
            ops.reshape(x, (self.num_states,))
            for x in (-cx.safe_exp(nu_log), imag, delta)
        )
        return (real, imag), delta

    def polar(self):
        return discretize(*self._system())

    def input_matrix(self):
        """B as a pair, each `(num_states,)`: the input of a state is its feature."""
        return input_gain(*self._system())

    def output_matrix(self):
        """C as a pair, each `(units, N/2)`, the factor 2 included."""
        return [2.0 * ops.convert_to_tensor(w) for w in (self.C_re, self.C_im)]

    def run(self, inputs, **options):
        """Outputs and last state of whole sequences; see `channelwise_ssm`."""
        return channelwise_ssm(
            inputs,
            *self.polar(),
            self.input_matrix(),
            self.output_matrix(),
            ops.convert_to_tensor(self.D),
            **options,
        )

    def _read(self, inputs):
        repeated = ops.repeat(inputs, self.num_states // self.units, axis=-1)
        repeated = ops.cast(repeated, self.state_dtype)
        return cx.pack(*(repeated * part for part in self.input_matrix()))

    def _write(self, state):
        C_re, C_im = self.output_matrix()
        x_re, x_im = (ops.reshape(x, (-1, *C_re.shape)) for x in cx.unpack(state))
        return ops.cast(ops.sum(C_re * x_re - C_im * x_im, axis=-1), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "state_size": 2 * self.num_states // self.units,
            "initialization": self.initialization,
            "dt_min": self.dt_min,
            "dt_max": self.dt_max,
        }
