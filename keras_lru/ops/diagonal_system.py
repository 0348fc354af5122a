"""Diagonal linear time-invariant systems: u → y in blocks, with few states.

Time is cut into blocks of T steps, and within a block everything is a matrix product,

    Z = U W,   W_s = λ^(T−1−s) B         what the block adds to the state,
    x ← λ^T x + Z                        the only recurrence, over L/T blocks,
    Y = E V + U K,   V_j = C λ^(j+1)     E the states that blocks start from,
                     K_(s,j) = Re(C λ^(j−s) B) (+ D if j = s), 0 if j < s.

T = 1 is the scan form: every state is computed, and y = Re(C x) + D u.
"""

from abc import abstractmethod
from collections.abc import Sequence

from keras import ops

from keras_lru.backend import compiled, time_shards
from keras_lru.backend.types import Tensor
from keras_lru.checks import check_floating, check_shape
from keras_lru.ops.algorithm import resolve_scan, takes_single_steps
from keras_lru.ops.complex import Complex, Polar, pack, unpack
from keras_lru.ops.irregular import (
    begin_with,
    input_scale,
    irregular_states,
    irregular_step,
)
from keras_lru.ops.last_unmasked import last_unmasked_step, repeat_at_masked
from keras_lru.ops.masked_stretches import run_masked_stretches
from keras_lru.ops.sequences import (
    add_masked_step,
    count_blocks,
    final_step,
    into_blocks,
    is_split_in_rows,
    last_step,
    static_size,
    take_step,
    take_steps,
    whole_lengths,
    zero_without_steps,
)
from keras_lru.ops.single_steps import states_of_steps
from keras_lru.ops.system import System
from keras_lru.ops.time_invariant import Coefficient, states_after, states_before


class DiagonalSystem(System):
    """`x_t = Λ x_{t-1} + B u_t`, `y_t = Re(C x_t) + D u_t`; subclasses do the products.

    The recurrence runs in the dtype of `polar`; the products run in `compute_dtype`.

    Args:
        polar: Λ, `(state_size,)`.
        B: What inputs add to the state.
        C: What outputs are made of states.
        D: What outputs are made of inputs, or `None`.
        compute_dtype: Dtype of the inputs, of the products and of the outputs.

    Raises:
        ValueError: If the shapes do not fit, or `polar` is not floating.
    """

    keeps_zero_state = True
    takes_no_steps = True
    takes_step_sizes = True
    takes_reset = True
    takes_mask = True

    input_dim: int
    output_dim: int

    def __init__(
        self,
        polar: Polar,
        B: Sequence[Tensor],
        C: Sequence[Tensor],
        D: Tensor | None,
        compute_dtype: str,
    ):
        # Copies: to TensorFlow's custom gradients a variable is not yet a tensor.
        self.polar = Polar(*map(ops.copy, polar))
        self.dtype = self.polar.log_modulus.dtype
        check_shape("log_modulus", self.polar.log_modulus, (None,))
        check_floating("log_modulus", self.polar.log_modulus)
        self.state_size = self.polar.log_modulus.shape[0]
        check_shape("angle", self.polar.angle, (self.state_size,))
        self.B = Complex(*(ops.cast(x, self.dtype) for x in B))
        self.C = Complex(*(ops.cast(x, self.dtype) for x in C))
        self.D = None if D is None else ops.cast(D, self.dtype)
        self.compute_dtype = compute_dtype
        self._tables: dict[int, Complex] = {}

    @abstractmethod
    def resolve_block_size(
        self, block_size: int | str, length: int | None, batch: int | None
    ) -> int:
        """T for `length` steps of `batch` sequences (`None`: unknown)."""

    @abstractmethod
    def read(self, blocks: Tensor, T: int) -> Tensor:
        """What each block adds to the state, packed, `(batch, blocks, 2 · state_size)`.

        Of single steps `(batch, input_dim)` too, with T = 1.
        """

    @abstractmethod
    def write(self, blocks: Tensor, before: Tensor, last: Tensor, T: int) -> Tensor:
        """Outputs of each block, `(batch, blocks, T · output_dim)`."""

    @abstractmethod
    def output(self, state: Tensor, inputs: Tensor) -> Tensor:
        """Output of the step `(batch, input_dim)` that led to a packed `state`.

        Of steps `(batch, time, input_dim)` too, where time is split over devices.
        """

    def step(
        self, inputs: Tensor, states: Sequence[Tensor]
    ) -> tuple[Tensor, Sequence[Tensor]]:
        added = unpack(self.read(inputs, 1))
        state = self.polar.power(1) * Complex(*states) + added
        return self.output(pack(state), inputs), state

    def step_of_size(
        self, inputs: Tensor, states: Sequence[Tensor], step_size: Tensor, hold: str
    ) -> tuple[Tensor, Sequence[Tensor]]:
        """`step`, of a size of its own for each sequence.

        Args:
            inputs: As of `step`.
            states: See there.
            step_size: `(batch, 1)`, positive.
            hold: One of `keras_lru.ops.irregular.HOLDS`.

        Returns:
            As `step`.
        """
        step_size = ops.cast(step_size, self.dtype)
        b = self._read_scaled(inputs, hold)
        a, added = irregular_step(self.polar, step_size, b, hold)
        state = unpack(a) * Complex(*states) + unpack(added)
        return self.output(pack(state), inputs), state

    def at_rate(self, rate: float | Tensor, hold: str) -> "DiagonalSystem":
        """The system for steps that all are of size `rate`.

        Args:
            rate: Positive, a number or a scalar.
            hold: One of `keras_lru.ops.irregular.HOLDS`.
        """
        rate = ops.cast(rate, self.dtype)
        scale = pack(input_scale(self.polar, hold))
        _, factor = irregular_step(self.polar, rate, scale, hold)
        polar = Polar(*(rate * x for x in self.polar))
        return self._with(polar, unpack(factor))

    def _with(self, polar, factor):
        """Other powers, and B times a factor."""
        return type(self)(polar, factor * self.B, self.C, self.D, self.compute_dtype)

    def _read_scaled(self, inputs, hold):
        """What inputs add, as `irregular_step` takes it."""
        if hold == "impulse":
            return self.read(inputs, 1)
        scale = input_scale(self.polar, hold)
        if self.compute_dtype == "float16":
            # Close to λ = 1, more than half precision holds.
            return pack(scale * unpack(self.read(inputs, 1)))
        return self._with(self.polar, scale).read(inputs, 1)

    def run(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        lengths: Tensor | None = None,
        return_sequences: bool = True,
        scan: str = "auto",
        block_size: int | str = "auto",
    ) -> tuple[Tensor, Complex]:
        check_shape("inputs", inputs, (None, None, self.input_dim))
        check_floating("inputs", inputs)
        batch, length = static_size(inputs, 0), static_size(inputs, 1)
        T = self.resolve_block_size(block_size, length, batch)
        blocks = None if length is None else -(-length // T)
        scan = resolve_scan(scan, blocks, batch, of_steps=T == 1)
        initial = self._initial(initial_state, inputs)
        if lengths is not None:
            lengths = ops.cast(lengths, "int32")
            check_shape("lengths", lengths, (static_size(inputs, 0),))
        return _run(
            (self.polar, self.B, self.C, self.D),
            inputs,
            initial,
            lengths,
            system=type(self),
            compute_dtype=self.compute_dtype,
            return_sequences=return_sequences,
            scan=scan,
            T=T,
        )

    def run_in_time(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None = None,
        step_sizes: Tensor | None = None,
        reset: Tensor | None = None,
        mask: Tensor | None = None,
        return_sequences: bool = True,
        reset_to: Sequence[Tensor] | None = None,
        scan: str = "auto",
        hold: str = "zero_order",
    ) -> tuple[Tensor, Complex]:
        check_shape("inputs", inputs, (None, None, self.input_dim))
        return _run_in_time(
            (self.polar, self.B, self.C, self.D),
            inputs,
            self._initial(initial_state, inputs),
            step_sizes,
            reset,
            mask,
            None if reset_to is None else self._initial(reset_to, inputs),
            system=type(self),
            compute_dtype=self.compute_dtype,
            return_sequences=return_sequences,
            scan=scan,
            hold=hold,
        )

    def run_masked(
        self,
        inputs: Tensor,
        initial_state: Sequence[Tensor] | None,
        mask: Tensor,
        return_sequences: bool = True,
        scan: str = "auto",
        block_size: int | str = "auto",
    ) -> tuple[Tensor, Complex]:
        check_shape("inputs", inputs, (None, None, self.input_dim))
        steps = -(-inputs.shape[1] // time_shards())
        # Where stretches are cut, nothing runs in place: a batch as of one sequence.
        T = self.resolve_block_size(block_size, steps, 1)
        return run_masked_stretches(
            (self.polar, self.B, self.C, self.D),
            inputs,
            self._initial(initial_state, inputs),
            mask,
            system=type(self),
            compute_dtype=self.compute_dtype,
            return_sequences=return_sequences,
            scan=resolve_scan(scan, -(-steps // T)),
            T=T,
        )

    def run_single_steps(
        self,
        inputs: Tensor,
        initial: Tensor,
        step_sizes: Tensor | None,
        reset: Tensor | None,
        mask: Tensor | None,
        reset_to: Tensor | None,
        return_sequences: bool,
        scan: str,
        hold: str,
    ) -> tuple[Tensor, Complex]:
        """`run_in_time` of packed states, of one step at least."""
        if mask is not None:
            # A masked step is one of size 0 without input.
            inputs = ops.where(
                ops.expand_dims(mask, -1), inputs, ops.zeros_like(inputs)
            )
            if step_sizes is None:
                step_sizes = ops.ones_like(mask)
            step_sizes = ops.cast(step_sizes, self.dtype)
            step_sizes = ops.where(mask, step_sizes, ops.zeros_like(step_sizes))
        keep = None if reset is None else ops.expand_dims(ops.logical_not(reset), -1)
        if step_sizes is None:
            b = self.read(inputs, 1)
            a = self.coefficient(1)
            b = begin_with(reset_to, keep, pack(a.value), b)
            scan = resolve_scan(scan, static_size(inputs, 1))
            before, last = states_before(a, b, initial, scan, keep=keep)
            states = states_after(before, last)
        else:
            b = self._read_scaled(inputs, hold)
            step_sizes = ops.expand_dims(ops.cast(step_sizes, self.dtype), -1)
            states = irregular_states(
                self.polar, step_sizes, b, initial, scan, hold, keep, reset_to
            )
        last = final_step(states)
        if return_sequences:
            outputs = self._outputs(states, inputs)
            if mask is not None:
                outputs = repeat_at_masked(outputs, mask, reset)
        elif mask is None:
            outputs = self.output(last, final_step(inputs))
        else:
            step, exists = last_unmasked_step(mask, reset)
            outputs = self.output(last, take_step(inputs, step))
            outputs = ops.where(
                ops.expand_dims(exists, 1), outputs, ops.zeros_like(outputs)
            )
        return outputs, unpack(last)

    def _outputs(self, states, inputs):
        """`output` of each of the steps `(batch, time, …)`."""
        if is_split_in_rows(inputs):
            return self.output(states, inputs)
        time = ops.shape(inputs)[1]
        outputs = self.output(
            ops.reshape(states, (-1, 2 * self.state_size)),
            ops.reshape(inputs, (-1, self.input_dim)),
        )
        return ops.reshape(outputs, (-1, time, self.output_dim))

    def run_blocks(
        self,
        inputs: Tensor,
        initial: Tensor,
        lengths: Tensor | None,
        return_sequences: bool,
        scan: str,
        T: int,
    ) -> tuple[Tensor, Complex]:
        """`run`, its arguments resolved, from a packed initial state."""
        length = static_size(inputs, 1)
        batch, steps = ops.shape(inputs)[:2]
        if length == 0:
            shape = (batch, 0) if return_sequences else (batch,)
            outputs = ops.zeros((*shape, self.output_dim), dtype=inputs.dtype)
            return outputs, unpack(initial)

        blocks = into_blocks(inputs, T)
        a, added = self.coefficient(T), self.read(blocks, T)
        if T == 1 and takes_single_steps(scan, length, static_size(inputs, 0)):
            return self._run_unblocked(
                a, added, inputs, initial, lengths, return_sequences, scan
            )
        before, last = states_before(a, added, initial, scan)
        final = last
        is_padded = length is None or length != count_blocks(inputs, T) * T
        if lengths is not None or is_padded:
            if lengths is None:
                lengths = whole_lengths(inputs)
            final = self.state_at(lengths, blocks, before, last, T)
        if return_sequences:
            outputs = self.write(blocks, before, last, T)
            padded = ops.shape(blocks)[1] * T
            outputs = ops.reshape(outputs, (batch, padded, self.output_dim))[:, :steps]
        else:
            outputs = self._last_output(blocks, final, lengths, T)
        return outputs, unpack(final)

    def _run_unblocked(
        self, a, added, inputs, initial, lengths, return_sequences, scan
    ):
        """`run_blocks` of single steps, which keeps the states after each of them."""
        states, final = states_of_steps(a, added, initial, scan)
        if lengths is not None:
            found = last_step(states, lengths)
            final = ops.where((lengths > 0)[:, None], found, initial)
        if return_sequences:
            outputs = self._outputs(states, inputs)
        else:
            outputs = self._last_output(inputs, final, lengths, 1)
        return outputs, unpack(final)

    def coefficient(self, T: int) -> Coefficient:
        """Λ^T, for blocks of T steps."""
        return Coefficient(self._powers(T).map(lambda x: x[T]), self.polar, T)

    def _powers(self, T):
        """Λ^0 … Λ^T, made once, of which each product takes its own."""
        if T not in self._tables:
            self._tables[T] = self.polar.powers(range(T + 1))
        return self._tables[T]

    def _initial(self, initial_state, inputs):
        """The initial state, packed."""
        if initial_state is None:
            shape = (ops.shape(inputs)[0], 2 * self.state_size)
            return ops.zeros(shape, dtype=self.dtype)
        parts = [ops.cast(x, self.dtype) for x in initial_state]
        for x in parts:
            shape = (static_size(inputs, 0), self.state_size)
            check_shape("initial_state", x, shape)
        return pack(Complex(*parts))

    def state_at(
        self, lengths: Tensor, blocks: Tensor, before: Tensor, last: Tensor, T: int
    ) -> Tensor:
        """State after `lengths[b]` steps, from the state its block starts with."""
        count = ops.shape(before)[1]
        block, rest = lengths // T, lengths % T
        # A tensor: in an export of PyTorch a number would be a constant.
        final = ops.arange(0, count, dtype="int32")[-1]
        inside = ops.minimum(block, final)
        state = ops.where((block <= final)[:, None], take_step(before, inside), last)
        if T == 1:
            return state
        # The block's first `rest` steps, as the last ones of a block of their own.
        steps = ops.reshape(take_step(blocks, inside), (-1, T, self.input_dim))
        source = ops.arange(0, T, dtype="int32")[None] - (T - rest)[:, None]
        steps = ops.where(
            ops.expand_dims(source >= 0, -1),
            take_steps(steps, ops.maximum(source, 0)),
            ops.zeros_like(steps),
        )
        added = self.read(ops.reshape(steps, (-1, 1, T * self.input_dim)), T)[:, 0]
        decay = self._powers(T).map(lambda x: ops.take(x, rest, axis=0))
        return pack(decay * unpack(state) + unpack(added))

    def _last_output(self, blocks, state, lengths, T):
        """Output of the step that led to `state`; zeros where there was none."""
        batch, count, _ = ops.shape(blocks)
        steps = ops.reshape(blocks, (batch, count * T, self.input_dim))
        output = self.output(state, last_step(steps, lengths))
        return zero_without_steps(output, lengths)


@compiled
def _run(matrices, inputs, initial, lengths, *, system, compute_dtype, **options):
    """One program for a system's run, which knows it by its class and matrices."""
    system = system(*matrices, compute_dtype)
    return system.run_blocks(inputs, initial, lengths, **options)


@compiled
def _run_in_time(
    matrices,
    inputs,
    initial,
    step_sizes,
    reset,
    mask,
    reset_to,
    *,
    system,
    compute_dtype,
    return_sequences,
    **options,
):
    """One program, as `_run`, in which there is a step."""
    system = system(*matrices, compute_dtype)
    steps = ops.shape(inputs)[1]
    if add_step := not static_size(inputs, 1):
        inputs, step_sizes, reset, mask = add_masked_step(
            inputs, step_sizes, reset, mask
        )
    outputs, last = system.run_single_steps(
        inputs, initial, step_sizes, reset, mask, reset_to, return_sequences, **options
    )
    if add_step and return_sequences:
        outputs = outputs[:, :steps]
    return outputs, last
