"""The recurrence as one kernel, in JAX's Pallas: each number is read and written once.

The other algorithms are array operations that XLA compiles. As one kernel a scan is one
launch and two passes over memory, forwards and, for its gradient, backwards. What is
not in the kernel is time: its steps follow one another, on the device.
"""

import functools

import jax
from jax import lax
from jax import numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as mosaic
from jax.experimental.pallas import triton

from keras_lru.backend.types import Tensor

# Of a GPU's program: numbers side by side, and steps read before the first is needed.
_WIDTH = 32
_AHEAD = 16
# Of a TPU's: sequences side by side, and bytes of its memory for steps, read and
# written in turn with the next.
_ROWS = 8
_STEPS_BYTES = 8_000_000


def recurrence(
    a: Tensor, b: Tensor, state: Tensor, parts: int, reverse: bool, after: bool = False
) -> tuple[Tensor, Tensor]:
    """`keras_lru.backend.recurrence_kernel`, for the device that a program is for.

    Triton compiles it for a GPU and Mosaic for a TPU. On a CPU it is interpreted, for
    tests.
    """
    if 0 in b.shape:
        return jnp.zeros_like(b), state

    def on(run, interpret=False):
        return functools.partial(
            run, parts=parts, reverse=reverse, after=after, interpret=interpret
        )

    return lax.platform_dependent(
        a, b, state, cpu=on(on_tpu, True), tpu=on(on_tpu), default=on(on_gpu)
    )


def _like(*tensors):
    return [jax.ShapeDtypeStruct(x.shape, x.dtype) for x in tensors]


def _cost(a, b, state, parts):
    """What the compiler cannot see of a kernel."""
    numbers = a.size + 2 * b.size + 2 * state.size
    return pl.CostEstimate(
        flops=2 * parts * b.size,
        bytes_accessed=numbers * b.dtype.itemsize,
        transcendentals=0,
    )


def _in_time(t, length, reverse):
    """Index of step `t` in the direction of time."""
    return length - 1 - t if reverse else t


# GPU: a program for each sequence and group of numbers, which loops over all of time.


def on_gpu(
    a: Tensor,
    b: Tensor,
    state: Tensor,
    parts: int,
    reverse: bool,
    after: bool = False,
    interpret: bool = False,
) -> tuple[Tensor, Tensor]:
    """`recurrence` for a GPU; `interpret` runs it as JAX's operations, anywhere."""
    batch, _, features = b.shape
    groups = pl.cdiv(features // parts, _WIDTH)
    return pl.pallas_call(
        functools.partial(_gpu_program, parts=parts, reverse=reverse, after=after),
        grid=(batch, groups),
        out_shape=_like(b, state),
        compiler_params=triton.CompilerParams(num_warps=_WIDTH // 32),
        cost_estimate=_cost(a, b, state, parts),
        interpret=interpret,
        name="recurrence",
    )(a, b, state)


def _gpu_program(
    a_ref, b_ref, state_ref, states_ref, last_ref, *, parts, reverse, after
):
    length, features = b_ref.shape[1:]
    n = features // parts
    row = pl.program_id(0)
    columns = pl.program_id(1) * _WIDTH + jnp.arange(_WIDTH)
    exists = columns < n
    varies = len(a_ref.shape) == 3

    def read(ref, *index):
        return [
            triton.load(ref.at[(*index, columns + p * n)], mask=exists, other=0.0)
            for p in range(parts)
        ]

    def write(ref, values, *index):
        for p, value in enumerate(values):
            triton.store(ref.at[(*index, columns + p * n)], value, mask=exists)

    constant = None if varies else read(a_ref)

    def run(first, count, state):
        steps = [_in_time(first + k, length, reverse) for k in range(count)]
        # All of them before the first is used: a read takes as long as many steps.
        inputs = [read(b_ref, row, t) for t in steps]
        factors = [read(a_ref, row, t) if varies else constant for t in steps]
        for k, (t, a, b) in enumerate(zip(steps, factors, inputs, strict=True)):
            if not after:
                write(states_ref, state, row, t)
            decayed = _times(a, state)
            if after:
                is_first = first + k == 0
                decayed = [
                    jnp.where(is_first, x, y)
                    for x, y in zip(entering, decayed, strict=True)
                ]
            state = [x + y for x, y in zip(decayed, b, strict=True)]
            if after:
                write(states_ref, state, row, t)
        return state

    rounds, rest = divmod(length, _AHEAD)
    entering = read(state_ref, row)
    state = lax.fori_loop(0, rounds, lambda i, x: run(i * _AHEAD, _AHEAD, x), entering)
    write(last_ref, run(rounds * _AHEAD, rest, state), row)


def _times(a, x):
    """The product of numbers, given as lists of their parts; zero where `a` is."""
    if len(a) == 1:
        return [jnp.where(a[0] == 0, 0.0, a[0] * x[0])]
    cut = (a[0] == 0) & (a[1] == 0)
    product = [a[0] * x[0] - a[1] * x[1], a[0] * x[1] + a[1] * x[0]]
    return [jnp.where(cut, 0.0, y) for y in product]


# TPU: a program for each group of sequences and stretch of time, one after the other,
# which hands on the state to the next.


def on_tpu(
    a: Tensor,
    b: Tensor,
    state: Tensor,
    parts: int,
    reverse: bool,
    after: bool = False,
    interpret: bool = False,
) -> tuple[Tensor, Tensor]:
    """`recurrence` for a TPU; `interpret` runs it as JAX's operations, anywhere."""
    batch, length, features = b.shape
    varies = len(a.shape) == 3
    rows = min(_ROWS, batch)
    bytes_per_step = 2 * (2 + varies) * _ROWS * max(features, 128) * b.dtype.itemsize
    steps = min(length, max(8, _STEPS_BYTES // bytes_per_step // 8 * 8))
    stretches = pl.cdiv(length, steps)

    def stretch(i, j):
        return i, _in_time(j, stretches, reverse), 0

    sequences = pl.BlockSpec((rows, steps, features), stretch)
    states = pl.BlockSpec((rows, features), lambda i, _: (i, 0))
    everywhere = pl.BlockSpec((1, features), lambda i, j: (0, 0))
    return pl.pallas_call(
        functools.partial(
            _tpu_program, length=length, parts=parts, reverse=reverse, after=after
        ),
        grid=(pl.cdiv(batch, rows), stretches),
        in_specs=[sequences if varies else everywhere, sequences, states],
        out_specs=[sequences, states],
        out_shape=_like(b, state),
        scratch_shapes=[mosaic.VMEM((rows, features), b.dtype)],
        compiler_params=mosaic.CompilerParams(
            dimension_semantics=("parallel", "arbitrary")
        ),
        cost_estimate=_cost(a, b, state, parts),
        interpret=interpret,
        name="recurrence",
    )(a if varies else a[None], b, state)


def _tpu_program(
    a_ref,
    b_ref,
    state_ref,
    states_ref,
    last_ref,
    kept_ref,
    *,
    length,
    parts,
    reverse,
    after,
):
    steps = b_ref.shape[1]
    varies = len(a_ref.shape) == 3
    stretch = _in_time(pl.program_id(1), pl.num_programs(1), reverse)
    count = jnp.minimum(steps, length - stretch * steps)

    is_start = pl.program_id(1) == 0

    @pl.when(is_start)
    def _():
        kept_ref[...] = state_ref[...]

    constant = None if varies else _product_with(a_ref[...], parts)

    def step(i, state):
        t = _in_time(i, count, reverse)
        times = constant or _product_with(a_ref[:, t], parts)
        if not after:
            states_ref[:, t] = state
            return times(state) + b_ref[:, t]
        enters = is_start & (i == 0)
        state = jnp.where(enters, state, times(state)) + b_ref[:, t]
        states_ref[:, t] = state
        return state

    kept_ref[...] = lax.fori_loop(0, count, step, kept_ref[...])
    last_ref[...] = kept_ref[...]


def _product_with(a, parts):
    """`x → a ⊙ x`, zero where `a` is, of real numbers or of packed complex ones."""
    if parts == 1:
        return lambda x: jnp.where(a == 0, 0.0, a * x)
    real, imag = jnp.split(a, 2, axis=-1)
    direct = jnp.concatenate([real, real], axis=-1)
    cross = jnp.concatenate([-imag, imag], axis=-1)
    half = real.shape[-1]
    cut = (direct == 0) & (cross == 0)

    def times(x):
        swapped = jnp.concatenate([x[..., half:], x[..., :half]], axis=-1)
        return jnp.where(cut, 0.0, direct * x + cross * swapped)

    return times
