"""The Linear Recurrent Unit: one step, and all steps in parallel over time."""

import math
from typing import Any

import keras
from keras import initializers, ops

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.initializers.log_uniform import LogUniform
from keras_lru.initializers.ring import (
    Gamma,
    RingCartesian,
    RingMagnitude,
    RingPhase,
    check_max_phase,
    check_ring,
)
from keras_lru.layers.arguments import ConstraintLike, InitializerLike, RegularizerLike
from keras_lru.layers.diagonal import DiagonalCell, DiagonalSolver
from keras_lru.layers.feedthrough import Feedthrough, check_feedthrough
from keras_lru.layers.low_rank import LowRankPairs, LowRankRecurrence
from keras_lru.layers.quantizing import QuantizedMatrices, QuantizedRecurrence
from keras_lru.layers.recurrent import RecurrentLayer
from keras_lru.ops.complex import Complex, Polar, safe_exp, to_polar
from keras_lru.ops.dense_system import DenseSystem


def _stable_exp(nu_log, theta_log):
    return Polar(-safe_exp(nu_log), safe_exp(theta_log))


def _exp(nu, theta):
    return Polar(-nu, theta)


def _real_imag(real, imag):
    return to_polar(Complex(real, imag))


_INITIALIZATIONS = ("ring", "log_uniform")

# Section 3.3 of the paper: what is trained, two weights of which Λ is made. Of these,
# "stable_exp" keeps |λ| below 1 whatever the optimizer does.
_POLAR_FORMS = {"stable_exp": _stable_exp, "exp": _exp, "real_imag": _real_imag}


def resolve_initialization(initialization, r_min, r_max, max_phase):
    """The arguments of an `LRU` that say where its eigenvalues start.

    Args:
        initialization: `"ring"`, `"log_uniform"`, or `"auto"`: the ring where one of
            the others is given, else `"log_uniform"`.
        r_min: Inner radius, or `None` for the default.
        r_max: Outer radius, or `None` for the default.
        max_phase: Largest phase, or `None` for the default.

    Returns:
        A dictionary of all four.

    Raises:
        ValueError: If `initialization` is none of the three.
    """
    check_choice("initialization", initialization, ("auto", *_INITIALIZATIONS))
    if initialization == "auto":
        given = any(value is not None for value in (r_min, r_max, max_phase))
        initialization = "ring" if given else "log_uniform"
    return {
        "r_min": 0.0 if r_min is None else r_min,
        "r_max": 1.0 if r_max is None else r_max,
        "max_phase": 2 * math.pi if max_phase is None else max_phase,
        "initialization": initialization,
    }


@keras.saving.register_keras_serializable(package="keras_lru")
class LRUCell(LowRankPairs, QuantizedMatrices, Feedthrough, DiagonalCell):
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
        initialization: Where the eigenvalues start: `"ring"`, uniform on the paper's
            ring (Lemma 2), or `"log_uniform"`, half-lives and periods spread evenly on
            a logarithmic scale, which needs no radii: see
            `keras_lru.initializers.LogUniform`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        hold: What the input does between steps of unequal size: `"zero_order"`, it
            holds its value, or `"impulse"`, it is an event at its own time.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, input_dim)`.
        states: List `[x_re, x_im]`, each `(batch, state_size)`.
        training: Ignored.
        step_sizes: Positive, `(batch,)` or `(batch, 1)`, as for `keras_lru.layers.LRU`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        reset_to: List like `states`, what sequences begin with; zeros if left out.

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
        units: int,
        state_size: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        parameterization: str = "stable_exp",
        normalize: bool = True,
        feedthrough: str = "auto",
        input_initializer: InitializerLike = None,
        output_initializer: InitializerLike = None,
        feedthrough_initializer: InitializerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        input_regularizer: RegularizerLike = None,
        output_regularizer: RegularizerLike = None,
        feedthrough_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        input_constraint: ConstraintLike = None,
        output_constraint: ConstraintLike = None,
        feedthrough_constraint: ConstraintLike = None,
        initialization: str = "ring",
        seed: int | None = None,
        hold: str = "zero_order",
        **kwargs: Any,
    ):
        units = check_positive_integer("units", units)
        num_states = check_positive_integer(
            "state_size", units if state_size is None else state_size
        )
        check_ring(r_min, r_max)
        check_max_phase(max_phase)
        check_choice("parameterization", parameterization, _POLAR_FORMS)
        check_choice("initialization", initialization, _INITIALIZATIONS)
        check_feedthrough(feedthrough)
        super().__init__(units, num_states, hold=hold, seed=seed, **kwargs)
        self.r_min = float(r_min)
        self.r_max = float(r_max)
        self.max_phase = float(max_phase)
        self.parameterization = parameterization
        self.normalize = bool(normalize)
        self.feedthrough = feedthrough
        self.initialization = initialization
        self.set_weight_options(
            input_initializer=input_initializer,
            output_initializer=output_initializer,
            feedthrough_initializer=feedthrough_initializer,
            recurrent_regularizer=recurrent_regularizer,
            input_regularizer=input_regularizer,
            output_regularizer=output_regularizer,
            feedthrough_regularizer=feedthrough_regularizer,
            recurrent_constraint=recurrent_constraint,
            input_constraint=input_constraint,
            output_constraint=output_constraint,
            feedthrough_constraint=feedthrough_constraint,
        )

    def build(self, input_shape):
        input_dim = self.known_input_dim(input_shape)
        N = self.num_states
        self.eigenvalue_weights = []
        initializers_by_name = self._eigenvalue_initializers()
        gamma_log = initializers_by_name.pop("gamma_log")
        for name, initializer in initializers_by_name.items():
            weight = self.make_weight(
                name, (N,), initializer, "recurrent", recurrent=True
            )
            self.eigenvalue_weights.append(weight)
            setattr(self, name, weight)
        self.gamma_log = None
        if self.normalize:
            self.gamma_log = self.make_weight(
                "gamma_log", (N,), gamma_log, recurrent=True
            )
        self.B_re, self.B_im = self._add_drawn_pair(
            "B", (input_dim, N), "input", 0.5, recurrent=True
        )
        self.C_re, self.C_im = self._add_drawn_pair("C", (N, self.units), "output", 1.0)
        self.D = self._add_feedthrough(input_dim)
        self.built = True

    def _eigenvalue_initializers(self):
        """`{weight name: initializer}` of the two weights of Λ and of `gamma_log`."""
        names = {
            "stable_exp": {"nu_log": "log_nu", "theta_log": "log_theta"},
            "exp": {"nu": "nu", "theta": "theta"},
            "real_imag": {"lambda_re": "real", "lambda_im": "imag"},
        }[self.parameterization]
        if self.initialization == "ring":
            start = self._on_the_ring
        else:
            start = self._over_all_memories
        return {
            name: start(quantity)
            for name, quantity in {**names, "gamma_log": "gamma_log"}.items()
        }

    def _on_the_ring(self, quantity):
        ring = (self.r_min, self.r_max)
        modulus_seed, phase_seed = self.seed_for("modulus"), self.seed_for("phase")
        if quantity == "gamma_log":
            return Gamma(*ring, modulus_seed)
        if quantity.endswith("nu"):
            return RingMagnitude(*ring, quantity, modulus_seed)
        if quantity.endswith("theta"):
            return RingPhase(self.max_phase, quantity, phase_seed)
        return RingCartesian(*ring, self.max_phase, quantity, modulus_seed, phase_seed)

    def _over_all_memories(self, quantity):
        seed = self.seed_for("modulus")
        return LogUniform(quantity, self.r_min, self.r_max, self.max_phase, seed)

    def _add_drawn_pair(self, name, shape, group, variance_scale, recurrent=False):
        rows, columns = shape
        initializer = getattr(
            self, f"{group}_initializer"
        ) or initializers.VarianceScaling(
            variance_scale, "fan_in", "untruncated_normal", seed=self.seed_for(group)
        )
        return self.make_pair(
            name,
            shape,
            lambda dtype: initializer((rows, 2 * columns), dtype),
            group,
            recurrent,
        )

    def polar(self):
        weights = [ops.convert_to_tensor(w) for w in self.eigenvalue_weights]
        return _POLAR_FORMS[self.parameterization](*weights)

    def system(self):
        B_re, B_im = self.pair("B")
        if self.gamma_log is not None:
            gamma = safe_exp(ops.convert_to_tensor(self.gamma_log))
            B_re, B_im = gamma * B_re, gamma * B_im
        return DenseSystem(
            self.polar(),
            (B_re, B_im),
            self.pair("C"),
            self.matrix("D"),
            self.compute_dtype,
        )

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
            "initialization": self.initialization,
        }


@keras.saving.register_keras_serializable(package="keras_lru")
class LRU(LowRankRecurrence, QuantizedRecurrence, DiagonalSolver, RecurrentLayer):
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
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"`,
            `"associative"` or, on JAX, `"pallas"`; see `keras_lru.ops.diagonal_ssm`.
            Same results.
        block_size: Steps per block of the block form, or `"auto"`. Same results.
        initialization: Where the eigenvalues start: `"ring"`, uniform on the paper's
            ring (Lemma 2), or `"log_uniform"`, half-lives and periods spread evenly on
            a logarithmic scale, which needs no radii: see
            `keras_lru.initializers.LogUniform`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        hold: What the input does between steps of unequal size: `"zero_order"`, it
            holds its value, or `"impulse"`, it is an event at its own time.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, input_dim)`. Any time, 0 included, known or not.
        initial_state: List `[x_re, x_im]`, each `(batch, state_size)`, or `(1, …)` for
            one that all sequences start from. `None` means zeros, or the kept state of
            a stateful layer.
        mask: Boolean `(batch, time)` or `(batch, time, 1)`, or `None`. A false step
            changes neither state nor output. One that comes with the inputs, from
            `Masking` or `Embedding`, counts beside an `initial_state` too.
        training: Ignored.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`, in units of the
            steps that the layer was made for; 1 for all if left out. With
            `hold="zero_order"`, a step of size n is n steps with the same input; with
            `"impulse"`, n − 1 steps without input, then one.
        reset: Boolean, of the same shapes: true where a sequence begins, which knows
            nothing of the steps before it.
        reset_to: List like `initial_state`, what those sequences begin with; zeros if
            left out.
        rate: Positive number or scalar, the size of all steps: 0.5 for a series that
            is sampled twice as fast as the one trained on.

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

    def __init__(
        self,
        units: int,
        state_size: int | None = None,
        r_min: float = 0.0,
        r_max: float = 1.0,
        max_phase: float = 2 * math.pi,
        parameterization: str = "stable_exp",
        normalize: bool = True,
        feedthrough: str = "auto",
        input_initializer: InitializerLike = None,
        output_initializer: InitializerLike = None,
        feedthrough_initializer: InitializerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        input_regularizer: RegularizerLike = None,
        output_regularizer: RegularizerLike = None,
        feedthrough_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        input_constraint: ConstraintLike = None,
        output_constraint: ConstraintLike = None,
        feedthrough_constraint: ConstraintLike = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        scan: str = "auto",
        block_size: int | str = "auto",
        initialization: str = "ring",
        seed: int | None = None,
        hold: str = "zero_order",
        **kwargs: Any,
    ):
        cell = LRUCell(
            units=units,
            state_size=state_size,
            r_min=r_min,
            r_max=r_max,
            max_phase=max_phase,
            parameterization=parameterization,
            normalize=normalize,
            feedthrough=feedthrough,
            input_initializer=input_initializer,
            output_initializer=output_initializer,
            feedthrough_initializer=feedthrough_initializer,
            recurrent_regularizer=recurrent_regularizer,
            input_regularizer=input_regularizer,
            output_regularizer=output_regularizer,
            feedthrough_regularizer=feedthrough_regularizer,
            recurrent_constraint=recurrent_constraint,
            input_constraint=input_constraint,
            output_constraint=output_constraint,
            feedthrough_constraint=feedthrough_constraint,
            initialization=initialization,
            seed=seed,
            hold=hold,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="lru_cell",
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
            block_size=block_size,
            **kwargs,
        )
