"""The diagonal state space layer S4D, one of the paper's baselines."""

import math
from typing import Any

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
from keras_lru.layers.arguments import ConstraintLike, InitializerLike, RegularizerLike
from keras_lru.layers.diagonal import DiagonalCell, DiagonalSolver
from keras_lru.layers.feedthrough import Feedthrough
from keras_lru.layers.recurrent import RecurrentLayer
from keras_lru.layers.zero_order_hold import discretize, input_gain, step_size
from keras_lru.ops.channelwise_system import ChannelwiseSystem
from keras_lru.ops.complex import Complex, safe_exp


@keras.saving.register_keras_serializable(package="keras_lru")
class S4DCell(Feedthrough, DiagonalCell):
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
        hold: What the input does between steps of unequal size: `"zero_order"`, it
            holds its value, or `"impulse"`, it is an event at its own time.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, units)`.
        states: List `[x_re, x_im]`, each `(batch, units · N/2)`.
        training: Ignored.
        step_sizes: Positive, `(batch,)` or `(batch, 1)`, as for `keras_lru.layers.S4D`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        reset_to: List like `states`, what sequences begin with; zeros if left out.

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

    # Each feature feeds its own output.
    feedthrough = "vector"

    def __init__(
        self,
        units: int,
        state_size: int = 64,
        initialization: str = "lin",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        output_initializer: InitializerLike = None,
        feedthrough_initializer: InitializerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        output_regularizer: RegularizerLike = None,
        feedthrough_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        output_constraint: ConstraintLike = None,
        feedthrough_constraint: ConstraintLike = None,
        seed: int | None = None,
        hold: str = "zero_order",
        **kwargs: Any,
    ):
        units = check_positive_integer("units", units)
        pairs = check_conjugate_pairs(state_size) // 2
        check_choice("initialization", initialization, SPECTRA)
        check_timescales(dt_min, dt_max)
        super().__init__(units, units * pairs, hold=hold, seed=seed, **kwargs)
        self.initialization = initialization
        self.dt_min = float(dt_min)
        self.dt_max = float(dt_max)
        self.set_weight_options(
            output_initializer=output_initializer,
            feedthrough_initializer=feedthrough_initializer,
            recurrent_regularizer=recurrent_regularizer,
            output_regularizer=output_regularizer,
            feedthrough_regularizer=feedthrough_regularizer,
            recurrent_constraint=recurrent_constraint,
            output_constraint=output_constraint,
            feedthrough_constraint=feedthrough_constraint,
        )

    def build(self, input_shape):
        input_dim = self.known_input_dim(input_shape)
        H = self.units
        if input_dim != H:
            raise ValueError(
                "`units` must be the number of features of `inputs`: each has a system "
                f"of its own. Received: units={H}, inputs of {input_dim} features"
            )
        n = self.num_states // H
        timescale = LogTimescale(self.dt_min, self.dt_max, self.seed_for("log_delta"))
        initializer = self.output_initializer or initializers.RandomNormal(
            stddev=math.sqrt(0.5), seed=self.seed_for("output")
        )
        self.nu_log, self.lambda_im = (
            self.make_weight(
                name,
                (H, n),
                ContinuousEigenvalues(self.initialization, part),
                "recurrent",
                recurrent=True,
            )
            for name, part in (("nu_log", "nu_log"), ("lambda_im", "im"))
        )
        self.log_delta = self.make_weight("log_delta", (H,), timescale, recurrent=True)
        self.C_re, self.C_im = self.make_pair(
            "C", (H, n), lambda dtype: initializer((H, 2 * n), dtype), "output"
        )
        self.D = self._add_feedthrough(input_dim)
        self.built = True

    def _continuous(self):
        """Λ and Δ, each `(num_states,)`."""
        nu_log, imag, log_delta = (
            ops.convert_to_tensor(w)
            for w in (self.nu_log, self.lambda_im, self.log_delta)
        )
        delta = step_size(log_delta)[:, None] * ops.ones_like(imag)
        real, imag, delta = (
            ops.reshape(x, (self.num_states,)) for x in (-safe_exp(nu_log), imag, delta)
        )
        return Complex(real, imag), delta

    def polar(self):
        return discretize(*self._continuous())

    def system(self):
        eigenvalues, delta = self._continuous()
        # B is 1, and a state stands for its conjugate too.
        B = input_gain(eigenvalues, delta)
        C = [2.0 * ops.convert_to_tensor(w) for w in (self.C_re, self.C_im)]
        polar, D = discretize(eigenvalues, delta), ops.convert_to_tensor(self.D)
        return ChannelwiseSystem(polar, B, C, D, self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "state_size": 2 * self.num_states // self.units,
            "initialization": self.initialization,
            "dt_min": self.dt_min,
            "dt_max": self.dt_max,
        }


@keras.saving.register_keras_serializable(package="keras_lru")
class S4D(DiagonalSolver, RecurrentLayer):
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
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"`,
            `"associative"` or, on JAX, `"pallas"`; see `keras_lru.ops.diagonal_ssm`.
            Same results.
        block_size: Steps per block of the block form, or `"auto"`. Same results.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        hold: What the input does between steps of unequal size: `"zero_order"`, it
            holds its value, or `"impulse"`, it is an event at its own time.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, units)`. Any time, 0 included, known or not.
        initial_state: List `[x_re, x_im]`, each `(batch, units · N/2)`, feature by
            feature, or `(1, …)` for one that all sequences start from. `None` means
            zeros, or the kept state of a stateful layer.
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

    def __init__(
        self,
        units: int,
        state_size: int = 64,
        initialization: str = "lin",
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        output_initializer: InitializerLike = None,
        feedthrough_initializer: InitializerLike = None,
        recurrent_regularizer: RegularizerLike = None,
        output_regularizer: RegularizerLike = None,
        feedthrough_regularizer: RegularizerLike = None,
        activity_regularizer: RegularizerLike = None,
        recurrent_constraint: ConstraintLike = None,
        output_constraint: ConstraintLike = None,
        feedthrough_constraint: ConstraintLike = None,
        return_sequences: bool = False,
        return_state: bool = False,
        go_backwards: bool = False,
        stateful: bool = False,
        zero_output_for_mask: bool = False,
        scan: str = "auto",
        block_size: int | str = "auto",
        seed: int | None = None,
        hold: str = "zero_order",
        **kwargs: Any,
    ):
        cell = S4DCell(
            units=units,
            state_size=state_size,
            initialization=initialization,
            dt_min=dt_min,
            dt_max=dt_max,
            output_initializer=output_initializer,
            feedthrough_initializer=feedthrough_initializer,
            recurrent_regularizer=recurrent_regularizer,
            output_regularizer=output_regularizer,
            feedthrough_regularizer=feedthrough_regularizer,
            recurrent_constraint=recurrent_constraint,
            output_constraint=output_constraint,
            feedthrough_constraint=feedthrough_constraint,
            seed=seed,
            hold=hold,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="s4d_cell",
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
