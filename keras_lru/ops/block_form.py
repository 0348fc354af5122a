"""The block form of a diagonal time-invariant system: u → y with few states.

Time is cut into blocks of T steps, and within a block everything is a matrix product,

    Z = U W,   W_s = λ^(T−1−s) B         what the block adds to the state,
    x ← λ^T x + Z                        the only recurrence, over L/T blocks,
    Y = E V + U K,   V_j = C λ^(j+1)     E the states that blocks start from,
                     K_(s,j) = Re(C λ^(j−s) B) (+ D if j = s), 0 if j < s.

T = 1 is the scan form: every state is computed, and y = Re(C x) + D u.
"""

from abc import ABC, abstractmethod

from keras import ops

from keras_lru.checks import check_shape
from keras_lru.ops import complex as cx
from keras_lru.ops.backend import static_size
from keras_lru.ops.dtypes import check_floating
from keras_lru.ops.indexing import (
    last_step,
    take_step,
    take_steps,
    zero_without_steps,
)
from keras_lru.ops.time_invariant import entry_states


class BlockSystem(ABC):
    """One system (Λ, B, C, D), for any block size; subclasses do the products.

    Args:
        log_modulus: `log|λ|` of all states, `(state_size,)`.
        angle: `arg λ`, `(state_size,)`.
        compute_dtype: Dtype of the products.
    """

    input_dim: int
    output_dim: int

    def __init__(self, log_modulus, angle, compute_dtype):
        # Copies: to TensorFlow's custom gradients a variable is not yet a tensor.
        self.log_modulus = ops.copy(log_modulus)
        self.angle = ops.copy(angle)
        self.dtype = self.log_modulus.dtype
        self.compute_dtype = compute_dtype
        check_shape("log_modulus", self.log_modulus, (None,))
        check_floating("log_modulus", self.log_modulus)
        self.state_size = self.log_modulus.shape[0]
        check_shape("angle", self.angle, (self.state_size,))

    def powers(self, exponents):
        """Packed powers of Λ, `(len(exponents), 2 · state_size)`."""
        return cx.powers(self.log_modulus, self.angle, exponents)

    @abstractmethod
    def read(self, blocks, T):
        """What each block adds to the state, packed, `(batch, blocks, …)`."""

    @abstractmethod
    def write(self, blocks, entries, last, T):
        """Outputs of each block, `(batch, blocks, T · output_dim)`."""

    @abstractmethod
    def output(self, state, step):
        """Output of the step `(batch, input_dim)` that led to `state`."""

    def solve(self, inputs, initial_state, lengths, return_sequences, scan, T):
        """Outputs and last state; the arguments are those of `diagonal_ssm`."""
        length = static_size(inputs, 1)
        batch, steps = ops.shape(inputs)[:2]
        static_batch = static_size(inputs, 0)
        if initial_state is None:
            initial = ops.zeros((batch, 2 * self.state_size), dtype=self.dtype)
        else:
            initial = [ops.cast(x, self.dtype) for x in initial_state]
            for x in initial:
                check_shape("initial_state", x, (static_batch, self.state_size))
            initial = cx.pack(*initial)
        if lengths is not None:
            lengths = ops.cast(lengths, "int32")
            check_shape("lengths", lengths, (static_batch,))
        if length == 0:
            shape = (batch, 0) if return_sequences else (batch,)
            outputs = ops.zeros((*shape, self.output_dim), dtype=inputs.dtype)
            return outputs, cx.unpack(initial)

        blocks = _into_blocks(inputs, T)
        entries, last = entry_states(
            cx.power(self.log_modulus, self.angle, T),
            self.log_modulus,
            self.angle,
            self.read(blocks, T),
            initial,
            scan,
            T,
        )
        final = last
        if lengths is not None or length is None or length % T:
            if lengths is None:
                lengths = ops.full((batch,), steps, dtype="int32")
            final = self._state_at(lengths, blocks, entries, last, T)
        if return_sequences:
            outputs = self.write(blocks, entries, last, T)
            padded = ops.shape(blocks)[1] * T
            outputs = ops.reshape(outputs, (batch, padded, self.output_dim))[:, :steps]
        else:
            outputs = self._last_output(blocks, final, lengths, T)
        return outputs, cx.unpack(final)

    def _state_at(self, lengths, blocks, entries, last, T):
        """State after `lengths[b]` steps, from the state its block starts with."""
        count = ops.shape(entries)[1]
        block, rest = lengths // T, lengths % T
        inside = ops.minimum(block, count - 1)
        state = ops.where((block < count)[:, None], take_step(entries, inside), last)
        if T == 1:
            return state
        # The block's first `rest` steps, as the last ones of a block of their own.
        steps = ops.reshape(take_step(blocks, inside), (-1, T, self.input_dim))
        source = ops.arange(0, T, dtype="int32")[None] - (T - rest)[:, None]
        steps = ops.where(
            (source >= 0)[..., None],
            take_steps(steps, ops.maximum(source, 0)),
            ops.zeros_like(steps),
        )
        added = self.read(ops.reshape(steps, (-1, 1, T * self.input_dim)), T)[:, 0]
        return cx.scale(ops.take(self.powers(range(T)), rest, axis=0), state) + added

    def _last_output(self, blocks, state, lengths, T):
        """Output of the step that led to `state`; zeros where there was none."""
        batch, count, _ = ops.shape(blocks)
        steps = ops.reshape(blocks, (batch, count * T, self.input_dim))
        output = self.output(state, last_step(steps, lengths))
        return zero_without_steps(output, lengths)


def _into_blocks(inputs, T):
    """`(batch, blocks, T · input_dim)`, the last block filled up with zeros."""
    batch, steps, input_dim = ops.shape(inputs)
    # Of an unknown length not even "at least one step" is known.
    count = steps // T + 1 if static_size(inputs, 1) is None else -(-steps // T)
    missing = count * T - steps
    if not isinstance(missing, int) or missing:
        zeros = ops.zeros((batch, missing, input_dim), dtype=inputs.dtype)
        inputs = ops.concatenate([inputs, zeros], axis=1)
    return ops.reshape(inputs, (batch, count, T * input_dim))
