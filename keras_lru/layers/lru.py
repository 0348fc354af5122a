"""The Linear Recurrent Unit, trained in parallel over time."""

import math
from operator import attrgetter

import keras
from keras import ops

from keras_lru.checks import describe, fits
from keras_lru.layers.lru_cell import LRUCell, check_states
from keras_lru.ops.algorithm import check_block_size, check_scan
from keras_lru.ops.diagonal_ssm import diagonal_ssm
from keras_lru.ops.masking import compact, expand

_CELL_ARGUMENTS = (
    "units",
    "state_size",
    "r_min",
    "r_max",
    "max_phase",
    "parameterization",
    "normalize",
    "feedthrough",
    "input_initializer",
    "output_initializer",
    "feedthrough_initializer",
    "recurrent_regularizer",
    "input_regularizer",
    "output_regularizer",
    "feedthrough_regularizer",
    "recurrent_constraint",
    "input_constraint",
    "output_constraint",
    "feedthrough_constraint",
    "seed",
)


@keras.saving.register_keras_serializable(package="keras_lru")
class LRU(keras.layers.RNN):
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
        scan: How the recurrence is solved: `"auto"`, `"sequential"`, `"chunked"` or
            `"associative"`; see `keras_lru.ops.diagonal_ssm`. Same results.
        block_size: Steps per block of the block form, or `"auto"`. Same results.
        seed: Integer: makes the initial weights reproducible. `None`: random ones.
        **kwargs: `name`, `dtype`, `trainable`, as for every Keras layer.

    Call arguments:
        inputs: `(batch, time, input_dim)`. Any time, 0 included, known or not.
        initial_state: List `[x_re, x_im]`, each `(batch, state_size)`. `None` means
            zeros, or the kept state of a stateful layer.
        mask: Boolean `(batch, time)`, or `None`. A false step changes neither state nor
            output.
        training: Ignored.

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
        activity_regularizer=None,
        recurrent_constraint=None,
        input_constraint=None,
        output_constraint=None,
        feedthrough_constraint=None,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        zero_output_for_mask=False,
        scan="auto",
        block_size="auto",
        seed=None,
        **kwargs,
    ):
        if "unroll" in kwargs:
            raise ValueError(
                "`unroll` is not an argument of LRU, which has no loop to unroll; "
                f"see `scan`. Received: unroll={kwargs['unroll']!r}"
            )
        check_scan(scan)
        check_block_size(block_size)
        values = locals()
        cell = LRUCell(
            **{name: values[name] for name in _CELL_ARGUMENTS},
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
            autocast=False,
            **kwargs,
        )
        self.scan = scan
        self.block_size = block_size
        self.input_spec = keras.layers.InputSpec(ndim=3)

    @property
    def units(self):
        """Features of the output."""
        return self.cell.units

    @property
    def eigenvalues(self):
        """Λ as a NumPy array of complex64, `(state_size,)`."""
        return self.cell.eigenvalues

    @property
    def variables(self):
        """Those of every layer, and the kept states of a stateful one.

        The states are no weights, but a compiled step must hand them on.
        """
        return super().variables + list(getattr(self, "states", None) or [])

    def build(self, sequences_shape, initial_state_shape=None):
        if len(sequences_shape) != 3:
            raise ValueError(
                "`inputs` must have shape (batch, time, input_dim). "
                f"Received: shape {tuple(sequences_shape)}"
            )
        super().build(sequences_shape, initial_state_shape)
        self.input_spec = keras.layers.InputSpec(ndim=3, axes={-1: sequences_shape[-1]})
        self.built = True

    def _create_state_variables(self, batch_size):
        # Past attribute assignment, by which Keras would track them as weights.
        vars(self)["states"] = [
            keras.Variable(
                state,
                dtype=self.cell.state_dtype,
                trainable=False,
                autocast=False,
                name=name,
            )
            for name, state in zip(
                self.cell.state_names, self.get_initial_state(batch_size), strict=True
            )
        ]

    def get_initial_state(self, batch_size):
        """Zeros `[x_re, x_im]`, each `(batch_size, state_size)`."""
        return self.cell.get_initial_state(batch_size)

    def call(self, sequences, initial_state=None, mask=None, training=False):
        inputs = ops.cast(sequences, self.compute_dtype)
        mask = _single(mask)
        self._check_call(inputs, initial_state, mask)
        if initial_state is None and self.stateful:
            initial_state = self.states

        if inputs.shape[1] == 0:
            mask = None
        if mask is not None:
            mask = ops.cast(mask, "bool")
        if self.go_backwards:
            inputs = ops.flip(inputs, axis=1)
            mask = None if mask is None else ops.flip(mask, axis=1)

        lengths = undo = None
        if mask is not None:
            inputs, lengths, undo = compact(inputs, mask, initial_state is None)
        cell = self.cell
        outputs, states = diagonal_ssm(
            inputs,
            *cell.polar(),
            cell.input_matrix(),
            cell.output_matrix(),
            None if cell.D is None else ops.convert_to_tensor(cell.D),
            initial_state=initial_state,
            lengths=lengths,
            return_sequences=self.return_sequences,
            scan=self.scan,
            block_size=self.block_size,
        )
        if mask is not None:
            if self.return_sequences:
                outputs = expand(outputs, undo, self.zero_output_for_mask)
            elif self.zero_output_for_mask:
                outputs = ops.where(mask[:, -1:], outputs, ops.zeros_like(outputs))
        if self.stateful:
            for variable, state in zip(self.states, states, strict=True):
                variable.assign(state)
        return (outputs, *states) if self.return_state else outputs

    def _check_call(self, inputs, initial_state, mask):
        batch, time, _ = inputs.shape
        if self.stateful and not fits(inputs, (self._expected_batch_size, None, None)):
            raise ValueError(
                "A stateful layer must be called with the batch size it was built "
                f"with, {self._expected_batch_size}. Received: inputs of shape "
                f"{tuple(inputs.shape)}"
            )
        if mask is not None and not fits(mask, (batch, time)):
            raise ValueError(
                f"`mask` must be a tensor of shape (batch, time) = {(batch, time)}. "
                f"Received: {describe(mask)}"
            )
        if initial_state is not None:
            check_states("initial_state", initial_state, batch, self.cell.num_states)

    def compute_output_spec(
        self, sequences, initial_state=None, mask=None, training=False
    ):
        """Symbolic outputs, in the compute dtype, and states, in float32 at least."""
        self._check_call(sequences, initial_state, _single(mask))
        shapes = self.compute_output_shape(sequences.shape)
        if not self.return_state:
            return keras.KerasTensor(shapes, dtype=self.compute_dtype)
        outputs, *states = shapes
        return (
            keras.KerasTensor(outputs, dtype=self.compute_dtype),
            *(keras.KerasTensor(s, dtype=self.cell.state_dtype) for s in states),
        )

    def get_config(self):
        config = super().get_config()
        del config["cell"], config["unroll"]
        cell = self.cell.get_config()
        config.update({name: cell[name] for name in _CELL_ARGUMENTS})
        return {
            **config,
            "activity_regularizer": keras.regularizers.serialize(
                self.activity_regularizer
            ),
            "scan": self.scan,
            "block_size": self.block_size,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def _single(mask):
    """The mask of the sequences, where Keras hands over one per argument."""
    return mask[0] if isinstance(mask, (list, tuple)) else mask


# As `keras.layers.LSTM` offers its arguments (`state_size` is Keras's: `[N, N]`).
for _name in _CELL_ARGUMENTS:
    if _name not in ("units", "state_size"):
        setattr(LRU, _name, property(attrgetter(f"cell.{_name}")))
