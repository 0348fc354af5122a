"""Diagonal systems of masked sequences, of which each device has a stretch of time.

Masked steps move out of the way within their stretch, so that what is left of it has
constant coefficients. How many steps that are is a number of each sequence and device,
and says how much is left of a state that a stretch starts from.
"""

from collections.abc import Callable

from keras import ops

from keras_lru.backend import (
    all_time_shards,
    compiled,
    of_time_shard,
    over_time_shards,
)
from keras_lru.backend.types import Tensor
from keras_lru.ops.complex import Complex, pack, unpack
from keras_lru.ops.last_unmasked import last_of_stretches
from keras_lru.ops.sequences import (
    compact,
    expand,
    into_blocks,
    pad_to_shards,
    shift,
    take_step,
    without_padding,
)
from keras_lru.ops.time_invariant import states_before
from keras_lru.ops.time_varying import VaryingRecurrence


@compiled
def run_masked_stretches(
    matrices: tuple,
    inputs: Tensor,
    initial: Tensor,
    mask: Tensor,
    *,
    system: Callable,
    compute_dtype: str,
    return_sequences: bool,
    scan: str,
    T: int,
) -> tuple[Tensor, Complex]:
    """`DiagonalSystem.run_masked`, its arguments resolved.

    Args:
        matrices: Of which `system` makes a system, with its compute dtype.
        inputs: `(batch, time, input_dim)`.
        initial: The state before the first step, packed.
        mask: Boolean, `(batch, time)`.
        system: A subclass of `DiagonalSystem`.
        compute_dtype: See there.
        return_sequences: See there.
        scan: As of `states_before`.
        T: Steps of a block.

    Returns:
        As `DiagonalSystem.run_masked`.
    """

    def each(split, rows, matrices):
        (inputs, mask), (initial,) = split, rows
        local = system(*matrices, compute_dtype)
        stretch = _Stretch(local, inputs, mask, initial, scan, T)
        if return_sequences:
            return [stretch.outputs()], [stretch.final]
        return [], [stretch.last_output(), stretch.final]

    time = inputs.shape[1]
    sequences = [pad_to_shards(x) for x in (inputs, mask[..., None])]
    split, rows = over_time_shards(each, sequences, [initial], matrices)
    if return_sequences:
        return without_padding(split[0], time), unpack(rows[0])
    return rows[0], unpack(rows[1])


class _Stretch:
    """The steps of one device."""

    def __init__(self, system, inputs, mask, initial, scan, T):
        self.system, self.T = system, T
        self.mask, self.steps = mask, inputs.shape[1]
        self.compacted = compact(inputs, mask[..., 0], starts_at_zero=False)
        # Unmasked steps, of all stretches.
        self.counts = all_time_shards(self.compacted.lengths[:, None])
        self.blocks = into_blocks(self.compacted.inputs, T)
        self.added = system.read(self.blocks, T)
        self.scan = scan
        self.start, self.final = self._between(initial)

    def _between(self, initial):
        """The state that the stretch starts from, and that after the last stretch."""
        lengths = self.compacted.lengths
        from_zero = self._solve(ops.zeros_like(initial))
        end = self.system.state_at(lengths, self.blocks, *from_zero, self.T)
        a = self._power(self.counts[..., None])
        recurrence = VaryingRecurrence("chunked", is_complex=True)
        ends = recurrence.states(pack(a), all_time_shards(end[:, None]), initial)
        return of_time_shard(shift(ends, initial)), ends[:, -1]

    def _solve(self, start):
        a = self.system.coefficient(self.T)
        return states_before(a, self.added, start, self.scan)

    def _power(self, steps):
        change = self.system.polar.power_minus_one(ops.cast(steps, self.system.dtype))
        return Complex(1.0 + change.real, change.imag)

    def outputs(self):
        """Of all steps."""
        before, last = self._solve(self.start[:, 0])
        outputs = self.system.write(self.blocks, before, last, self.T)
        shape = (-1, self.blocks.shape[1] * self.T, self.system.output_dim)
        outputs = ops.reshape(outputs, shape)[:, : self.steps]
        outputs = expand(outputs, self.compacted, zero_output_for_mask=False)
        # Before its first unmasked step, the last output of an earlier stretch.
        earlier, _ = last_of_stretches(outputs[:, -1], self.counts > 0)
        steps = ops.arange(0, self.steps, dtype="int32")[None, :, None]
        first = ops.min(ops.where(self.mask, steps, self.steps), axis=1, keepdims=True)
        return ops.where(steps >= first, outputs, earlier)

    def last_output(self):
        """Of the last unmasked step; zeros where there is none."""
        lengths = self.compacted.lengths
        inputs = take_step(self.compacted.inputs, ops.maximum(lengths - 1, 0))
        _, inputs = last_of_stretches(inputs, self.counts > 0)
        outputs = self.system.output(self.final, inputs)
        some = ops.any(self.counts > 0, axis=1, keepdims=True)
        return ops.where(some, outputs, ops.zeros_like(outputs))
