"""One step of the Linear Recurrent Unit, and the weights the layer shares with it."""

import math

import keras
import numpy as np
from keras import constraints, initializers, ops, regularizers

from keras_lru.checks import check_choice, check_positive_integer, describe, fits
from keras_lru.initializers import Gamma, check_max_phase, check_ring, draw_seed
from keras_lru.layers.parameterization import POLAR_FORMS, ring_initializers
from keras_lru.ops import complex as cx

FEEDTHROUGHS = ("auto", "vector", "matrix", "none")


def check_states(name, states, batch, state_size):
    """Raise `ValueError` unless `states` is `[x_re, x_im]` for these sizes."""
    if not isinstance(states, (list, tuple)) or len(states) != 2:
        raise ValueError(
            f"`{name}` must be a list [x_re, x_im]. Received: {describe(states)}"
        )
    for part in states:
        if not fits(part, (batch, state_size)):
            raise ValueError(
                f"Each part of `{name}` must be a tensor of shape (batch, state_size)"
                f" = {(batch, state_size)}. Received: {describe(part)}"
            )


@keras.saving.register_keras_serializable(package="keras_lru")
class LRUCell(keras.layers.Layer):
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
        self.units = check_positive_integer("units", units)
        self.num_states = check_positive_integer(
            "state_size", units if state_size is None else state_size
        )
        check_ring(r_min, r_max)
        check_max_phase(max_phase)
        check_choice("parameterization", parameterization, POLAR_FORMS)
        check_choice("feedthrough", feedthrough, FEEDTHROUGHS)
        # Weights and states keep their own dtype; inputs are cast where they are used.
        super().__init__(autocast=False, **kwargs)
        self.r_min = float(r_min)
        self.r_max = float(r_max)
        self.max_phase = float(max_phase)
        self.parameterization = parameterization
        self.normalize = bool(normalize)
        self.feedthrough = feedthrough
        self.seed = seed
        # Backends take 32 bits, and the weights count up from here.
        self._base_seed = draw_seed(seed) % 2**31
        self.input_initializer = initializers.get(input_initializer)
        self.output_initializer = initializers.get(output_initializer)
        self.feedthrough_initializer = initializers.get(feedthrough_initializer)
        self.recurrent_regularizer = regularizers.get(recurrent_regularizer)
        self.input_regularizer = regularizers.get(input_regularizer)
        self.output_regularizer = regularizers.get(output_regularizer)
        self.feedthrough_regularizer = regularizers.get(feedthrough_regularizer)
        self.recurrent_constraint = constraints.get(recurrent_constraint)
        self.input_constraint = constraints.get(input_constraint)
        self.output_constraint = constraints.get(output_constraint)
        self.feedthrough_constraint = constraints.get(feedthrough_constraint)

        self.state_size = [self.num_states, self.num_states]
        self.state_names = ("x_re", "x_im")
        self.output_size = self.units

    def build(self, input_shape):
        input_dim = input_shape[-1]
        if input_dim is None:
            raise ValueError(
                "The last dimension of `inputs` must be known. "
                f"Received: input_shape={tuple(input_shape)}"
            )
        feedthrough = self.feedthrough
        if feedthrough == "auto":
            feedthrough = "vector" if input_dim == self.units else "matrix"
        if feedthrough == "vector" and input_dim != self.units:
            raise ValueError(
                '`feedthrough="vector"` needs inputs of `units` features. Received: '
                f"units={self.units}, inputs of {input_dim} features"
            )
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
        self.B_re, self.B_im = self._add_pair("B", (input_dim, N), "input", 0.5)
        self.C_re, self.C_im = self._add_pair("C", (N, self.units), "output", 1.0)
        self.D = None
        if feedthrough != "none":
            initializer = self.feedthrough_initializer or initializers.RandomNormal(
                stddev=1.0, seed=self._base_seed + 4
            )
            shape = (
                (self.units,) if feedthrough == "vector" else (input_dim, self.units)
            )
            self.D = self._add_weight("D", shape, initializer, "feedthrough")
        self.built = True

    def _add_weight(self, name, shape, initializer, group=None):
        return self.add_weight(
            name=name,
            shape=shape,
            initializer=initializer,
            dtype=self.state_dtype,
            autocast=False,
            regularizer=group and getattr(self, f"{group}_regularizer"),
            constraint=group and getattr(self, f"{group}_constraint"),
        )

    def _add_pair(self, name, shape, group, variance_scale):
        """Real and imaginary part: the halves of one matrix, drawn together."""
        rows, columns = shape
        # Drawn once per part, so it must give the same matrix twice.
        initializer = getattr(
            self, f"{group}_initializer"
        ) or initializers.VarianceScaling(
            variance_scale,
            "fan_in",
            "untruncated_normal",
            seed=self._base_seed + (2 if group == "input" else 3),
        )
        parts = {"re": slice(0, columns), "im": slice(columns, None)}
        return [
            self._add_weight(
                f"{name}_{part}",
                shape,
                lambda shape, dtype=None, half=half: ops.convert_to_tensor(
                    initializer((rows, 2 * columns), dtype=dtype)
                )[:, half],
                group,
            )
            for part, half in parts.items()
        ]

    @property
    def state_dtype(self):
        """Dtype of the recurrence: the variables', but no less than float32."""
        half = self.variable_dtype in ("float16", "bfloat16")
        return "float32" if half else self.variable_dtype

    def polar(self):
        """`(log|λ|, arg λ)` as tensors, each `(state_size,)`."""
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
        """C as a pair, each `(state_size, units)`."""
        return [ops.convert_to_tensor(w) for w in (self.C_re, self.C_im)]

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(state_size,)`."""
        self._check_built()
        log_modulus, angle = (
            ops.convert_to_numpy(x).astype("float64") for x in self.polar()
        )
        return np.exp(log_modulus + 1j * angle).astype("complex64")

    def _check_built(self):
        if not self.built:
            raise ValueError(
                f"The weights of {self.name!r} do not exist yet. Call the layer on "
                "inputs, or call `build(input_shape)`, first."
            )

    def call(self, inputs, states, training=False):
        inputs = ops.cast(inputs, self.compute_dtype)
        check_states("states", states, inputs.shape[0], self.num_states)
        x = cx.pack(*(ops.cast(part, self.state_dtype) for part in states))
        B, C = cx.pack(*self.input_matrix()), self.output_matrix()
        readout = ops.concatenate([C[0], -C[1]], axis=0)

        def project(value, matrix):
            value = ops.cast(value, self.compute_dtype)
            return ops.matmul(value, ops.cast(matrix, self.compute_dtype))

        x = cx.scale(cx.power(*self.polar(), 1), x)
        x = x + ops.cast(project(inputs, B), self.state_dtype)
        output = project(x, readout)
        if self.D is not None:
            D = ops.cast(self.D, self.compute_dtype)
            output += inputs * D if len(D.shape) == 1 else ops.matmul(inputs, D)
        new_states = [
            ops.cast(part, like.dtype)
            for part, like in zip(cx.unpack(x), states, strict=True)
        ]
        return output, new_states

    def get_initial_state(self, batch_size=None):
        """Zeros `[x_re, x_im]`, each `(batch_size, state_size)`."""
        return [
            ops.zeros((batch_size, n), dtype=self.state_dtype) for n in self.state_size
        ]

    def compute_output_shape(self, input_shape, states_shape=None):
        """Shapes of the output and of the two states."""
        states = [(input_shape[0], n) for n in self.state_size]
        return (input_shape[0], self.units), states

    def get_config(self):
        config = {
            "units": self.units,
            "state_size": self.num_states,
            "r_min": self.r_min,
            "r_max": self.r_max,
            "max_phase": self.max_phase,
            "parameterization": self.parameterization,
            "normalize": self.normalize,
            "feedthrough": self.feedthrough,
            "seed": self.seed,
        }
        for group in ("recurrent", "input", "output", "feedthrough"):
            regularizer = getattr(self, f"{group}_regularizer")
            constraint = getattr(self, f"{group}_constraint")
            config[f"{group}_regularizer"] = regularizers.serialize(regularizer)
            config[f"{group}_constraint"] = constraints.serialize(constraint)
            if group != "recurrent":
                config[f"{group}_initializer"] = initializers.serialize(
                    getattr(self, f"{group}_initializer")
                )
        return {**super().get_config(), **config}
