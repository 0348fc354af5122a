"""The simplified state space layer S5, one of the paper's baselines."""

from typing import Any

import keras
import numpy as np
from keras import initializers, ops

from keras_lru.checks import check_positive_integer
from keras_lru.initializers.hippo import (
    LogTimescale,
    check_conjugate_pairs,
    check_timescales,
    hippo_normal,
)
from keras_lru.layers.arguments import ConstraintLike, InitializerLike, RegularizerLike
from keras_lru.layers.diagonal import DiagonalCell, DiagonalSolver
from keras_lru.layers.feedthrough import Feedthrough, check_feedthrough
from keras_lru.layers.low_rank import LowRankPairs, LowRankRecurrence
from keras_lru.layers.quantizing import QuantizedMatrices, QuantizedRecurrence
from keras_lru.layers.recurrent import RecurrentLayer
from keras_lru.layers.zero_order_hold import discretize, input_gain, step_size
from keras_lru.ops.complex import Complex, pack, unpack
from keras_lru.ops.dense_system import DenseSystem

# The published code's bound on Re Λ, where it has one.
_LARGEST_REAL_PART = -1e-4


@keras.saving.register_keras_serializable(package="keras_lru")
class S5Cell(LowRankPairs, QuantizedMatrices, Feedthrough, DiagonalCell):
    """Cell class for the simplified state space layer S5.

    One step of the recurrence of [Smith et al., 2023](
    https://arxiv.org/abs/2208.04933), discretized with a zero-order hold:

        x_k = exp(ΛΔ) x_{k-1} + Λ^{-1} (exp(ΛΔ) − I) B u_k
        y_k = 2 Re(C x_k) + D u_k

    Same weights, in the same order, as `keras_lru.layers.S5`, which is the one to use
    on whole sequences, and which describes the arguments: it runs in parallel over
    time. The cell is for step-by-step use, and for `keras.layers.RNN` and
    `keras.layers.StackedRNNCells`, with the limit that `LRUCell` names for masks on
    the JAX backend.

    The recurrence and its weights are float32 at least, whatever the dtype policy; a
    state comes back in the dtype it came in.

    Args:
        units: Positive integer, features of the output.
        state_size: Positive integer, P. `None` means `units`.
        blocks: Positive integer, J, HiPPO blocks of the initial Λ.
        conjugate_symmetry: Whether one state of each conjugate pair stands for both.
        dt_min: Smallest initial Δ.
        dt_max: Largest initial Δ.
        clip_eigenvalues: Whether Re Λ is kept at −1e-4 or less.
        feedthrough: `"auto"`, `"vector"`, `"matrix"` or `"none"`.
        input_initializer: Initializer of B before its rotation.
        output_initializer: Initializer of C before its rotation.
        feedthrough_initializer: Initializer of D.
        recurrent_regularizer: Regularizer of `lambda_re` and `lambda_im`.
        input_regularizer: Regularizer of `B_re` and `B_im`.
        output_regularizer: Regularizer of `C_re` and `C_im`.
        feedthrough_regularizer: Regularizer of `D`.
        recurrent_constraint: Constraint of `lambda_re` and `lambda_im`.
        input_constraint: Constraint of `B_re` and `B_im`.
        output_constraint: Constraint of `C_re` and `C_im`.
        feedthrough_constraint: Constraint of `D`.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        hold: What the input does between steps of unequal size: `"zero_order"`, it
            holds its value, or `"impulse"`, it is an event at its own time.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, input_dim)`.
        states: List `[x_re, x_im]`, each `(batch, num_states)`: P/2 states with
            `conjugate_symmetry`, else P.
        training: Ignored.
        step_sizes: Positive, `(batch,)` or `(batch, 1)`, as for `keras_lru.layers.S5`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        reset_to: List like `states`, what sequences begin with; zeros if left out.

    Returns:
        `(output, [x_re, x_im])`, the output `(batch, units)` in the compute dtype.

    Raises:
        ValueError: As `keras_lru.layers.S5`, or if the states do not fit.

    Example:

    >>> import numpy as np
    >>> import keras
    >>> from keras_lru.layers import S5Cell
    >>> layer = keras.layers.RNN(S5Cell(4, state_size=8), return_sequences=True)
    >>> tuple(layer(np.ones((2, 5, 3), "float32")).shape)
    (2, 5, 4)
    """

    def __init__(
        self,
        units: int,
        state_size: int | None = None,
        blocks: int = 1,
        conjugate_symmetry: bool = True,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        clip_eigenvalues: bool = False,
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
        seed: int | None = None,
        hold: str = "zero_order",
        **kwargs: Any,
    ):
        units = check_positive_integer("units", units)
        blocks = check_positive_integer("blocks", blocks)
        total = check_positive_integer(
            "state_size", units if state_size is None else state_size
        )
        if conjugate_symmetry:
            check_conjugate_pairs(total, blocks)
        elif total % blocks:
            raise ValueError(
                f"`state_size` must be divisible by `blocks` = {blocks}. "
                f"Received: state_size={total}"
            )
        check_timescales(dt_min, dt_max)
        check_feedthrough(feedthrough)
        num_states = total // 2 if conjugate_symmetry else total
        super().__init__(units, num_states, hold=hold, seed=seed, **kwargs)
        self.blocks = blocks
        self.conjugate_symmetry = bool(conjugate_symmetry)
        self.dt_min = float(dt_min)
        self.dt_max = float(dt_max)
        self.clip_eigenvalues = bool(clip_eigenvalues)
        self.feedthrough = feedthrough
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

    @property
    def total_states(self):
        """P, conjugates included."""
        return self.num_states * (2 if self.conjugate_symmetry else 1)

    def build(self, input_shape):
        input_dim = self.known_input_dim(input_shape)
        N = self.num_states
        eigenvalues, V = self._initial_basis()
        timescale = LogTimescale(self.dt_min, self.dt_max, self.seed_for("log_delta"))

        self.lambda_re, self.lambda_im = self.make_pair(
            "lambda",
            (N,),
            lambda dtype: ops.convert_to_tensor(
                np.concatenate([eigenvalues.real, eigenvalues.imag]), dtype
            ),
            "recurrent",
            recurrent=True,
        )
        self.log_delta = self.make_weight("log_delta", (N,), timescale, recurrent=True)
        self.B_re, self.B_im = self.make_pair(
            "B",
            (input_dim, N),
            lambda dtype: self._rotated_input_matrix(input_dim, V, dtype),
            "input",
            recurrent=True,
        )
        self.C_re, self.C_im = self.make_pair(
            "C",
            (N, self.units),
            lambda dtype: self._rotated_output_matrix(V, dtype),
            "output",
        )
        self.D = self._add_feedthrough(input_dim)
        self.built = True

    def _initial_basis(self):
        """Λ `(num_states,)` and V `(P, num_states)` of HiPPO-N, J times."""
        size = self.total_states // self.blocks
        eigenvalues, V = hippo_normal(size)
        if self.conjugate_symmetry:
            eigenvalues, V = eigenvalues[size // 2 :], V[:, size // 2 :]
        return np.tile(eigenvalues, self.blocks), np.kron(np.eye(self.blocks), V)

    def _rotated_input_matrix(self, input_dim, V, dtype):
        """Rows of V^{-1} B, packed: B has a row for each input."""
        B = self._initializer("input")((input_dim, self.total_states), dtype)
        inverse = np.concatenate([V.real, -V.imag], axis=1)
        return B @ ops.convert_to_tensor(inverse, dtype)

    def _rotated_output_matrix(self, V, dtype):
        """V^T C, packed: C has a column for each output."""
        C = self._initializer("output")((self.total_states, 2 * self.units), dtype)
        real, imag = (
            ops.convert_to_tensor(part.T, dtype) @ C for part in (V.real, V.imag)
        )
        (re_re, re_im), (im_re, im_im) = unpack(real), unpack(imag)
        return pack(Complex(re_re - im_im, re_im + im_re))

    def _initializer(self, group):
        return getattr(self, f"{group}_initializer") or initializers.LecunNormal(
            self.seed_for(group)
        )

    def _continuous(self):
        """Λ and Δ."""
        real, imag, log_delta = (
            ops.convert_to_tensor(w)
            for w in (self.lambda_re, self.lambda_im, self.log_delta)
        )
        if self.clip_eigenvalues:
            real = ops.clip(real, -np.inf, _LARGEST_REAL_PART)
        return Complex(real, imag), step_size(log_delta)

    def polar(self):
        return discretize(*self._continuous())

    def system(self):
        eigenvalues, delta = self._continuous()
        B = input_gain(eigenvalues, delta) * Complex(*self.pair("B"))
        # A state stands for its conjugate too.
        factor = 2.0 if self.conjugate_symmetry else 1.0
        C = [factor * x for x in self.pair("C")]
        polar = discretize(eigenvalues, delta)
        return DenseSystem(polar, B, C, self.matrix("D"), self.compute_dtype)

    def get_config(self):
        return {
            **super().get_config(),
            "state_size": self.total_states,
            "blocks": self.blocks,
            "conjugate_symmetry": self.conjugate_symmetry,
            "dt_min": self.dt_min,
            "dt_max": self.dt_max,
            "clip_eigenvalues": self.clip_eigenvalues,
            "feedthrough": self.feedthrough,
        }


@keras.saving.register_keras_serializable(package="keras_lru")
class S5(LowRankRecurrence, QuantizedRecurrence, DiagonalSolver, RecurrentLayer):
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
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"`,
            `"associative"` or, on JAX, `"pallas"`; see `keras_lru.ops.diagonal_ssm`.
            Same results.
        block_size: Steps per block of the block form, or `"auto"`. Same results.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        hold: What the input does between steps of unequal size: `"zero_order"`, it
            holds its value, or `"impulse"`, it is an event at its own time.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, input_dim)`. Any time, 0 included, known or not.
        initial_state: List `[x_re, x_im]`, each `(batch, P/2)` with
            `conjugate_symmetry`, else `(batch, P)`; or `(1, …)` for one that all
            sequences start from. `None` means zeros, or the kept state of a stateful
            layer.
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

    def __init__(
        self,
        units: int,
        state_size: int | None = None,
        blocks: int = 1,
        conjugate_symmetry: bool = True,
        dt_min: float = 0.001,
        dt_max: float = 0.1,
        clip_eigenvalues: bool = False,
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
        seed: int | None = None,
        hold: str = "zero_order",
        **kwargs: Any,
    ):
        cell = S5Cell(
            units=units,
            state_size=state_size,
            blocks=blocks,
            conjugate_symmetry=conjugate_symmetry,
            dt_min=dt_min,
            dt_max=dt_max,
            clip_eigenvalues=clip_eigenvalues,
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
            seed=seed,
            hold=hold,
            dtype=kwargs.get("dtype"),
            trainable=kwargs.get("trainable", True),
            name="s5_cell",
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
