"""One step of S5, and the weights the layer shares with it."""

import keras
import numpy as np
from keras import initializers, ops

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.initializers.hippo import (
    LogTimescale,
    check_conjugate_pairs,
    check_timescales,
    hippo_normal,
)
from keras_lru.layers.diagonal_cell import DiagonalCell
from keras_lru.layers.recurrent_cell import FEEDTHROUGHS
from keras_lru.layers.zero_order_hold import discretize, input_gain, step_size
from keras_lru.ops import complex as cx

# The published code's bound on Re Λ, where it has one.
_LARGEST_REAL_PART = -1e-4


@keras.saving.register_keras_serializable(package="keras_lru")
class S5Cell(DiagonalCell):
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
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, input_dim)`.
        states: List `[x_re, x_im]`, each `(batch, num_states)`: P/2 states with
            `conjugate_symmetry`, else P.
        training: Ignored.

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
        recurrent_constraint=None,
        input_constraint=None,
        output_constraint=None,
        feedthrough_constraint=None,
        seed=None,
        **kwargs,
    ):
        check_positive_integer("units", units)
        check_positive_integer("blocks", blocks)
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
        check_choice("feedthrough", feedthrough, FEEDTHROUGHS)
        num_states = total // 2 if conjugate_symmetry else total
        super().__init__(units, num_states, locals(), seed, **kwargs)
        self.blocks = int(blocks)
        self.conjugate_symmetry = bool(conjugate_symmetry)
        self.dt_min = float(dt_min)
        self.dt_max = float(dt_max)
        self.clip_eigenvalues = bool(clip_eigenvalues)
        self.feedthrough = feedthrough

    @property
    def total_states(self):
        """P, conjugates included."""
        return self.num_states * (2 if self.conjugate_symmetry else 1)

    def build(self, input_shape):
        input_dim = self._known_input_dim(input_shape)
        feedthrough = self._resolve_feedthrough(input_dim)
        N = self.num_states
        eigenvalues, V = self._initial_basis()

        self.lambda_re, self.lambda_im = self._add_pair(
            "lambda",
            (N,),
            lambda dtype: ops.convert_to_tensor(
                np.concatenate([eigenvalues.real, eigenvalues.imag]), dtype
            ),
            "recurrent",
        )
        self.log_delta = self._add_weight(
            "log_delta", (N,), LogTimescale(self.dt_min, self.dt_max, self._base_seed)
        )
        self.B_re, self.B_im = self._add_pair(
            "B",
            (input_dim, N),
            lambda dtype: self._rotated_input_matrix(input_dim, V, dtype),
            "input",
        )
        self.C_re, self.C_im = self._add_pair(
            "C",
            (N, self.units),
            lambda dtype: self._rotated_output_matrix(V, dtype),
            "output",
        )
        self.D = self._add_feedthrough(feedthrough, input_dim)
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
        return ops.matmul(B, ops.convert_to_tensor(inverse, dtype))

    def _rotated_output_matrix(self, V, dtype):
        """V^T C, packed: C has a column for each output."""
        C = self._initializer("output")((self.total_states, 2 * self.units), dtype)
        real, imag = (
            ops.matmul(ops.convert_to_tensor(part.T, dtype), C)
            for part in (V.real, V.imag)
        )
        (re_re, re_im), (im_re, im_im) = cx.unpack(real), cx.unpack(imag)
        return cx.pack(re_re - im_im, re_im + im_re)

    def _initializer(self, group):
        return getattr(self, f"{group}_initializer") or initializers.LecunNormal(
            self._base_seed + (2 if group == "input" else 3)
        )

    def _system(self):
        """`(Re Λ, Im Λ)` and Δ."""
        real, imag, log_delta = (
            ops.convert_to_tensor(w)
            for w in (self.lambda_re, self.lambda_im, self.log_delta)
        )
        if self.clip_eigenvalues:
            real = ops.minimum(real, _LARGEST_REAL_PART)
        return (real, imag), step_size(log_delta)

    def polar(self):
        return discretize(*self._system())

    def input_matrix(self):
        B = [ops.convert_to_tensor(w) for w in (self.B_re, self.B_im)]
        return cx.multiply(input_gain(*self._system()), B)

    def output_matrix(self):
        factor = 2.0 if self.conjugate_symmetry else 1.0
        return [factor * ops.convert_to_tensor(w) for w in (self.C_re, self.C_im)]

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
