"""One step of the Linear Recurrent Unit, and the weights the layer shares with it."""

import math

import keras
from keras import initializers, ops

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.initializers.ring import Gamma, check_max_phase, check_ring
from keras_lru.layers.diagonal_cell import DiagonalCell
from keras_lru.layers.parameterization import POLAR_FORMS, ring_initializers
from keras_lru.layers.recurrent_cell import FEEDTHROUGHS
from keras_lru.ops import complex as cx


@keras.saving.register_keras_serializable(package="keras_lru")
class LRUCell(DiagonalCell):
    """Cell class for the Linear Recurrent Unit.

    One step of the recurrence of [Orvieto et al., 2023](
    https://arxiv.org/abs/2303.06349), section 1:

        x_k = Λ x_{k-1} + exp(gamma_log) ⊙ (B u_k)
        y_k = Re(C x_k) + D u_k
        Λ   = diag(exp(−exp(nu_log) + i exp(theta_log)))

    Same weights, in the same order, as `keras_lru.layers.LRU`, which is the one to use
    on whole sequences: it runs in parallel over time. The cell is for step-by-step use,
    and for `keras.layers.RNN` and `keras.layers.StackedRNNCells`.

    The recurrence and its weights are float32 at least, whatever the dtype policy; a
    state comes back in the dtype it came in.

    With a mask on the JAX backend, `keras.layers.RNN(cell)` takes the first state for
    the previous output, which is not so here: outputs at masked steps are wrong there
    unless `zero_output_for_mask=True`. `LRU` has no such limit.

    Args:
        units: Positive integer, O, features of the output.
        state_size: Positive integer, N, complex states. `None` means `units`.
        r_min: Inner radius of the ring on which the eigenvalues start, in [0, r_max].
        r_max: Outer radius, in [r_min, 1].
        max_phase: Largest initial phase of an eigenvalue, in radians.
        parameterization: What is trained (section 3.3): `"stable_exp"` (`nu_log`,
            `theta_log`; always stable), `"exp"` (`nu`, `theta`) or `"real_imag"`
            (`lambda_re`, `lambda_im`).
        normalize: Whether to have `gamma_log` (section 3.4).
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
        recurrent_constraint: Constraint of the two eigenvalue weights.
        input_constraint: Constraint of `B_re` and `B_im`.
        output_constraint: Constraint of `C_re` and `C_im`.
        feedthrough_constraint: Constraint of `D`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, input_dim)`.
        states: List `[x_re, x_im]`, each `(batch, state_size)`.
        training: Ignored.

    Returns:
        `(output, [x_re, x_im])`, the output `(batch, units)` in the compute dtype.

    Raises:
        ValueError: If an argument is out of its range (at construction), or
            `feedthrough="vector"` meets inputs of other than `units` features (when
            built).

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_lru.layers import LRUCell
    >>> layer = keras.layers.RNN(LRUCell(4, state_size=8), return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 4)
    """

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
        check_ring(r_min, r_max)
        check_max_phase(max_phase)
        check_choice("parameterization", parameterization, POLAR_FORMS)
        check_choice("feedthrough", feedthrough, FEEDTHROUGHS)
        super().__init__(units, num_states, locals(), seed, **kwargs)
        self.r_min = float(r_min)
        self.r_max = float(r_max)
        self.max_phase = float(max_phase)
        self.parameterization = parameterization
        self.normalize = bool(normalize)
        self.feedthrough = feedthrough

    def build(self, input_shape):
        input_dim = self._known_input_dim(input_shape)
        feedthrough = self._resolve_feedthrough(input_dim)
        N = self.num_states
        recurrent = ring_initializers(
            self.parameterization,
            self.r_min,
            self.r_max,
            self.max_phase,
            self._base_seed,
        )
        self.eigenvalue_weights = [
            self._add_weight(name, (N,), initializer, "recurrent")
            for name, initializer in recurrent.items()
        ]
        for name, weight in zip(recurrent, self.eigenvalue_weights, strict=True):
            setattr(self, name, weight)
        self.gamma_log = None
        if self.normalize:
            self.gamma_log = self._add_weight(
                "gamma_log", (N,), Gamma(self.r_min, self.r_max, self._base_seed)
            )
        self.B_re, self.B_im = self._add_drawn_pair("B", (input_dim, N), "input", 0.5)
        self.C_re, self.C_im = self._add_drawn_pair("C", (N, self.units), "output", 1.0)
        self.D = self._add_feedthrough(feedthrough, input_dim)
        self.built = True

    def _add_drawn_pair(self, name, shape, group, variance_scale):
        rows, columns = shape
        initializer = getattr(
            self, f"{group}_initializer"
        ) or initializers.VarianceScaling(
            variance_scale,
            "fan_in",
            "untruncated_normal",
            seed=self._base_seed + (2 if group == "input" else 3),
        )
        return self._add_pair(
            name, shape, lambda dtype: initializer((rows, 2 * columns), dtype), group
        )

    def polar(self):
        weights = [ops.convert_to_tensor(w) for w in self.eigenvalue_weights]
        return POLAR_FORMS[self.parameterization](*weights)

    def input_matrix(self):
        """`exp(gamma_log) ⊙ B` as a pair, each `(input_dim, state_size)`."""
        B = [ops.convert_to_tensor(w) for w in (self.B_re, self.B_im)]
        if self.gamma_log is None:
            return B
        gamma = cx.safe_exp(ops.convert_to_tensor(self.gamma_log))
        return [gamma * part for part in B]

    def output_matrix(self):
        return [ops.convert_to_tensor(w) for w in (self.C_re, self.C_im)]

    def get_config(self):
        return {
            **super().get_config(),
            "state_size": self.num_states,
            "r_min": self.r_min,
            "r_max": self.r_max,
            "max_phase": self.max_phase,
            "parameterization": self.parameterization,
            "normalize": self.normalize,
            "feedthrough": self.feedthrough,
        }
