"""JAX: loops are compiled, every operation sees the whole batch on all devices."""

import contextlib
import functools
import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.export
import keras
import numpy as np
from jax import lax
from jax import numpy as jnp
from jax.experimental import multihost_utils
from jax.experimental.xla_metadata import set_xla_metadata
from jax.sharding import PartitionSpec
from keras.src.backend.jax.distribution_lib import initialize_rng

from keras_lru.backend.forward_only import is_forward_only
from keras_lru.backend.types import Tensor

__all__ = [
    "all_time_shards",
    "arctan2",
    "argsort_distinct",
    "as_program",
    "broadcast",
    "call_when_built",
    "check_sizes",
    "compiled",
    "cond",
    "cuts_unknown_lengths",
    "data_parallel_again",
    "data_parallel_scope",
    "differentiated_as",
    "doubling_loop",
    "drop_compiled_programs",
    "exact_product",
    "expm1",
    "for_two_uses",
    "from_time_shard_before",
    "function_with_gradient",
    "gelu",
    "has_accelerator",
    "has_loop_in_place",
    "has_recurrence_kernel",
    "has_value",
    "is_replicated",
    "join_processes",
    "largest",
    "longest_loop",
    "loop_over_time",
    "lost_another_process",
    "num_processes",
    "of_time_shard",
    "over_time_shards",
    "packed_loop",
    "process_id",
    "proves_sizes",
    "recurrence_kernel",
    "row_pieces",
    "saved_model_options",
    "sequence_parallel_scope",
    "sine_and_cosine",
    "split_over_time",
    "stateful_program",
    "sum_over_replicas",
    "time_shards",
    "value_and_gradients",
    "vector_jacobian_product",
    "with_sizes_of",
    "writes_saved_models",
]


class _Split(NamedTuple):
    """How sequences are split over devices.

    Attributes:
        mesh: A `jax.sharding.Mesh`.
        time: Name of its axis that time is split over.
        batch: Name of the one that the batch is split over, or `None`.
        is_inside: Whether what is traced is the part of one device.
    """

    mesh: jax.sharding.Mesh
    time: str
    batch: str | None
    is_inside: bool = False

    @property
    def shards(self):
        return self.mesh.shape[self.time]

    def spec(self, x, has_time):
        """Of an array whose first axis is the batch, and the second may be time."""
        devices = self.mesh.shape[self.batch] if self.batch else 1
        is_whole = isinstance(x.shape[0], int) and x.shape[0] % devices == 0
        batch = self.batch if is_whole else None
        return PartitionSpec(batch, self.time) if has_time else PartitionSpec(batch)


# Part of the key by which JAX finds a program again: none is used where it is another.
_split: Any = getattr(jax, "make_user_context", lambda: None)()


def longest_loop() -> int | None:
    """Steps up to which a plain loop over time costs least on a CPU, `None`: any.

    A step costs about a microsecond.
    """
    return None


def has_accelerator() -> bool:
    """Whether the default device is a GPU or a TPU."""
    return jax.default_backend() != "cpu"


def has_loop_in_place(batch: int | None) -> bool:
    """Whether a loop over time costs little that writes its states over its inputs.

    Args:
        batch: Sequences, `None` if unknown.
    """
    # Of an unknown batch JAX exports, maybe to a format that has no loop.
    return batch is not None and time_shards() == 1 and not has_accelerator()


def function_with_gradient(
    forward: Callable[..., tuple[Any, Any]], backward: Callable[..., tuple]
) -> Callable:
    """A function of tensors that is differentiated by hand.

    Args:
        forward: Maps tensors to `(outputs, kept)`: a tensor or a tuple of tensors, and
            what `backward` needs: arguments and outputs, in a tuple.
        backward: Maps `kept` and the gradient for each output to a tuple with the
            gradient for each argument of `forward`. It is differentiated in its turn.

    Returns:
        A function of the arguments of `forward` that returns `outputs`.
    """
    if is_forward_only():
        return lambda *args: forward(*args)[0]
    needed: list[int] = []
    # JAX calls these when it likes: whatever is split then, it is as it is now.
    scope = contextlib.nullcontext if _split is None else partial(_split, _split.value)

    def known(args, outputs):
        return [*args, *(outputs if isinstance(outputs, tuple) else (outputs,))]

    def primal(*args):
        with scope():
            outputs, kept = forward(*args)
        tensors = known(args, outputs)
        needed[:] = [
            next(i for i, x in enumerate(tensors) if x is tensor) for tensor in kept
        ]
        return outputs

    function = jax.custom_vjp(primal)

    def keep(*args):
        # By the function itself: so second derivatives are found by hand too.
        outputs = _apart(function)(*args)
        tensors = known(args, outputs)
        return outputs, tuple(tensors[i] for i in needed)

    def gradient(kept, upstream):
        several = isinstance(upstream, tuple)
        with scope():
            return _apart(backward)(kept, *(upstream if several else (upstream,)))

    function.defvjp(keep, gradient)
    return function


def _apart(function):
    """A function of tensors that XLA compiles apart from what is around it, on a CPU.

    It would compute pieces of it anew in whatever uses them, and keep for that, in
    place of one tensor, all that it is made of.
    """
    if has_accelerator() or jax.device_count() > 1:
        return function

    def alone(*args):
        with set_xla_metadata(inlineable=None):
            return function(*args)

    def call(*args):
        if not any(map(_is_traced, jax.tree.leaves(args))):
            return function(*args)
        with set_xla_metadata(inlineable="false"):
            return jax.jit(alone)(*args)

    return call


def differentiated_as(function: Callable, other: Callable) -> Callable:
    """`function`, whose gradient is that of `other`, which computes the same.

    Args:
        function: Function of tensors, by position, that returns a tuple of tensors.
        other: Another, of operations that the backend differentiates.
    """

    def keep(*args):
        return function(*args), args

    def gradient(args, upstream):
        return jax.vjp(other, *args)[1](upstream)

    result = jax.custom_vjp(function)
    result.defvjp(keep, gradient)
    return result


def for_two_uses(x: Tensor) -> tuple[Tensor, Tensor]:
    """`x` twice, for two uses whose gradients are added where they meet."""
    # XLA would carry the parts of the sum along, of all blocks of a model.
    twice = jax.custom_vjp(lambda x: (x, x))
    twice.defvjp(lambda x: ((x, x), None), lambda _, both: (_apart(jnp.add)(*both),))
    return twice(x)


def compiled(function: Callable) -> Callable:
    """A function that runs as one program, even if it is called eagerly.

    Args:
        function: Function of tensors, or structures of them, by position, and of
            hashable settings by keyword. It is traced once for all that call it with
            tensors of these shapes.

    Returns:
        A function of the same arguments.
    """

    def trace(tensors, settings, forward_only):
        del forward_only
        return function(*tensors, **dict(settings))

    jitted = jax.jit(trace, static_argnums=(1, 2))

    @functools.wraps(function)
    def call(*tensors, **settings):
        if any(map(_is_traced, jax.tree.leaves(tensors))):
            # Part of a larger program, which a boundary would only cost fusions.
            return function(*tensors, **settings)
        return jitted(tensors, tuple(settings.items()), is_forward_only())

    return call


def as_program(function: Callable) -> Callable:
    """A function that always runs as one program, loops included.

    Args:
        function: As of `compiled`.

    Returns:
        A function of the same arguments.
    """
    return compiled(function)


def _is_traced(x):
    """Whether `x` has no value yet; it has one while a gradient is taken eagerly."""
    return isinstance(x, jax.core.Tracer) and x.to_concrete_value() is None


def cond(
    pred: Tensor, true_fn: Callable[[], Tensor], false_fn: Callable[[], Tensor]
) -> Tensor:
    """`true_fn()` if a boolean scalar is true, else `false_fn()`, of the same shape."""
    return lax.cond(pred, true_fn, false_fn)


def cuts_unknown_lengths() -> bool:
    """Whether a length that is unknown while tracing can be cut into blocks."""
    return True


def largest(x: Tensor) -> Tensor:
    """Largest of each row of non-negative numbers, 0 of none."""
    return jnp.max(x, axis=1, initial=0)


def argsort_distinct(keys: Tensor) -> Tensor:
    """The order of each row of numbers, all different, as integers."""
    return jnp.argsort(keys, axis=1, stable=False).astype("int32")


def expm1(x: Tensor) -> Tensor:
    """`exp(x) − 1` without cancellation."""
    return jnp.expm1(x)


def gelu(x: Tensor) -> Tensor:
    """The exact GELU, which keeps nothing but `x`."""

    def forward(x):
        # By `erfc`: what TensorFlow reads of an export has no `erf`.
        return jax.nn.gelu(x, approximate=False), (x,)

    def backward(kept, upstream):
        # Beside 1, half precision has few digits left.
        x = kept[0].astype(jnp.promote_types(upstream.dtype, jnp.float32))
        cumulative = 0.5 + 0.5 * lax.erf(math.sqrt(0.5) * x)
        density = math.sqrt(0.5 / math.pi) * jnp.exp(-0.5 * x * x)
        return ((upstream * (cumulative + x * density)).astype(upstream.dtype),)

    return function_with_gradient(forward, backward)(x)


def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """Angles of the points `(x, y)`, in radians and in their dtype."""
    return jnp.arctan2(y, x)


# Of h², the powers of (sin(h)/h − 1)/h² and of (cos(h) − 1)/h²: minimax fits for a
# quarter turn, which err by the last bits of float32.
_SINE = (-1.6666667e-01, 8.333331e-03, -1.9840866e-04, 2.752507e-06, -2.3880974e-08)
_COSINE = (-0.5, 4.1666638e-02, -1.3888365e-03, 2.4759862e-05, -2.604015e-07)


@jax.custom_jvp
def sine_and_cosine(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of angles within a quarter turn, in radians."""
    if x.dtype != jnp.float32:
        return jnp.sin(x), jnp.cos(x)
    # XLA's own are for angles of any size, and on a CPU ten times as slow.
    square = x * x
    sine, cosine = (
        functools.reduce(lambda sum_, c: sum_ * square + c, reversed(powers))
        for powers in (_SINE, _COSINE)
    )
    return x + x * square * sine, 1.0 + square * cosine


@sine_and_cosine.defjvp
def _sine_and_cosine_jvp(primals, tangents):
    (x,), (slope,) = primals, tangents
    sine, cosine = sine_and_cosine(x)
    return (sine, cosine), (cosine * slope, -sine * slope)


def vector_jacobian_product(
    function: Callable[[Any], Any], x: Any, upstream: Any
) -> Any:
    """Gradient in `x` of the sum of `upstream ⊙ function(x)`.

    Args:
        function: Maps a tensor, or a tuple of them, to a tensor or a tuple.
        x: Its argument.
        upstream: Like its result.

    Returns:
        Like `x`.
    """
    return jax.vjp(function, x)[1](upstream)[0]


def value_and_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, Any]], tensors: list[Tensor]
) -> tuple[tuple[Tensor, Any], list[Tensor]]:
    """Value and gradients of a function that returns more than its value.

    Args:
        function: Maps a list of tensors to `(value, others)`: a number, and a structure
            of tensors that nobody differentiates.
        tensors: Floating tensors.

    Returns:
        `((value, others), gradients)`, a gradient for each tensor; zeros where the
        value does not depend on it.
    """
    return jax.value_and_grad(function, has_aux=True)(list(tensors))


def stateful_program(function: Callable, variables: list[keras.Variable]) -> Callable:
    """A function that reads and assigns Keras variables, as one program.

    Args:
        function: Function of tensors, or structures of them, by position.
        variables: All variables that it reads or assigns. They exist already.

    Returns:
        A function of the same arguments.
    """

    @jax.jit
    def program(values, tensors):
        with keras.StatelessScope(zip(variables, values, strict=True)) as scope:
            before = [scope.get_current_value(v) for v in variables]
            outputs = function(*tensors)
            after = [scope.get_current_value(v) for v in variables]
        changed = {
            i: new
            for i, (new, old) in enumerate(zip(after, before, strict=True))
            if new is not old
        }
        return outputs, changed

    def call(*tensors):
        outputs, changed = program([v.value for v in variables], tensors)
        for i, value in changed.items():
            variables[i].assign(value)
        return outputs

    return call


def loop_over_time(
    step: Callable[..., Tensor],
    state: Tensor,
    xs: Sequence[Tensor],
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """States before each step, and after the last, of `state ← step(state, *x_t)`.

    Args:
        step: Maps a state, and `(batch, features)` of each of `xs`, to the next state.
        state: `(batch, state_features)`.
        xs: Tensors `(batch, time, features)`.
        reverse: Whether time runs from the last step to the first.

    Returns:
        `(batch, time, state_features)` and `(batch, state_features)`. To be
        differentiated by hand.
    """
    batch, length, _ = xs[0].shape

    # Slices of axis 1, which a scan would first have to move to the front.
    def body(i, carry):
        state, states = carry
        t = length - 1 - i if reverse else i
        states = lax.dynamic_update_index_in_dim(states, state, t, axis=1)
        x = (lax.dynamic_index_in_dim(x, t, 1, keepdims=False) for x in xs)
        return step(state, *x), states

    empty = jnp.zeros((batch, length, state.shape[-1]), dtype=state.dtype)
    last, states = lax.fori_loop(0, length, body, (state, empty))
    return states, last


def packed_loop(
    step: Callable[[Tensor, Tensor], Tensor],
    a: tuple[Tensor, Tensor],
    state: Tensor,
    xs: Tensor,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """`loop_over_time` of `state ← a · state + xs[:, t]` over packed complex numbers.

    Args:
        step: The same.
        a: Real and imaginary parts, `(n,)`.
        state: `(batch, 2·n)`: real parts, then imaginary ones.
        xs: `(batch, time, 2·n)`.
        reverse: Whether time runs from the last step to the first.

    Returns:
        `(batch, time, 2·n)` and `(batch, 2·n)`.
    """
    del a
    return loop_over_time(step, state, [xs], reverse)


def has_recurrence_kernel() -> bool:
    """Whether there is a `recurrence_kernel`."""
    return True


def has_value(x: Any) -> bool:
    """Whether the numbers of a tensor, or an array, can be read: no trace has them."""
    return not isinstance(x, keras.KerasTensor | jax.core.Tracer)


def recurrence_kernel(
    a: Tensor, b: Tensor, state: Tensor, parts: int, reverse: bool, after: bool = False
) -> tuple[Tensor, Tensor]:
    """States before each step, and after the last, of `x ← a ⊙ x + b_t`, as one kernel.

    A coefficient of exactly zero cuts: no infinity and no NaN passes it either.

    Args:
        a: `(features,)`, or `(batch, time, features)` if it varies in time.
        b: `(batch, time, features)`, of one step at least, of known sizes.
        state: `(batch, features)`.
        parts: 2 if features are packed complex numbers, 1 if they are real ones.
        reverse: Whether time runs from the last step to the first.
        after: Whether to return states after each step. What enters the first one is
            then `state` as it is, and not `a ⊙ state`.

    Returns:
        `(batch, time, features)` and `(batch, features)`. To be differentiated by hand.
    """
    # Imported where it is used: it takes a second.
    from keras_lru.backend import pallas

    return pallas.recurrence(a, b, state, parts, reverse, after)


def doubling_loop(cond: Callable, body: Callable, loop_vars: tuple) -> tuple:
    """`while_loop` of at most 31 rounds that is differentiated in reverse.

    31 doublings reach past any tensor axis.
    """

    # JAX differentiates a loop only where its length is static.
    def round_or_none(_, loop_vars):
        return lax.cond(
            cond(*loop_vars), lambda: tuple(body(*loop_vars)), lambda: loop_vars
        )

    return lax.fori_loop(0, 31, round_or_none, tuple(loop_vars))


def is_replicated() -> bool:
    """Whether each of several replicas computes on its own part of the batch."""
    return False


def sum_over_replicas(x: Tensor) -> Tensor:
    """The sum of the replicas' `x`, for each of them: here `x` itself."""
    return x


@contextlib.contextmanager
def data_parallel_scope(auto_shard_dataset: bool = True) -> Iterator[int]:
    """Scope in which models are made and trained on all devices; yields their number.

    GPUs or TPUs where there are any, else CPU devices; those of all processes.

    Args:
        auto_shard_dataset: Whether Keras takes each process its part of every batch.
            `False`: the processes read parts already.
    """
    devices = keras.distribution.list_devices()
    distribution = keras.distribution.DataParallel(
        devices=devices, auto_shard_dataset=auto_shard_dataset
    )
    with distribution.scope():
        yield len(devices)


def data_parallel_again() -> contextlib.AbstractContextManager[None]:
    """The `data_parallel_scope` that is open, even if a session was cleared in it.

    Here it is a setting of Keras, for whoever clears a session to restore.
    """
    return contextlib.nullcontext()


def join_processes(
    job_addresses: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: float,
) -> None:
    """Make this process one of several that compute together.

    As `keras.distribution.initialize`, which leaves JAX its own timeouts.

    Args:
        job_addresses: Address and port of process 0, others after commas.
        num_processes: How many there are.
        process_id: Which of them this one is.
        timeout: Seconds without a sign of life after which a process is lost.
    """
    options = {
        "heartbeat_timeout_seconds": max(1, round(timeout)),
        # At the end all wait for the last one, whatever it has left to do.
        "shutdown_timeout_seconds": 7 * 24 * 3600,
    }
    known = inspect.signature(jax.distributed.initialize).parameters
    jax.distributed.initialize(
        job_addresses and job_addresses.split(",")[0],
        num_processes,
        process_id,
        **{name: value for name, value in options.items() if name in known},
    )
    # Models without a seed start from the same weights in all processes.
    initialize_rng()


def num_processes() -> int:
    """How many processes compute together."""
    return jax.process_count()


def process_id() -> int:
    """Which of them this one is, from 0."""
    return jax.process_index()


def broadcast(data: bytes) -> bytes:
    """What process 0 passes, in all processes; each has to call it.

    Args:
        data: Of process 0; what the others pass is not looked at.
    """
    if jax.process_count() == 1:
        return data
    size = np.array([len(data)], np.int64).view(np.uint8)
    size = multihost_utils.broadcast_one_to_all(size).view(np.int64).item()
    sent = np.zeros(size, np.uint8)
    if jax.process_index() == 0:
        sent = np.frombuffer(data, np.uint8)
    return multihost_utils.broadcast_one_to_all(sent).tobytes()


def lost_another_process(error: Exception) -> bool:
    """Whether an error says that another process is gone, as far as words tell."""
    words = ("gloo", "nccl", "by peer", "heartbeat", "coordination")
    # Some calls of JAX turn what XLA says into the latter.
    return isinstance(error, jax.errors.JaxRuntimeError | ValueError) and any(
        word in str(error).lower() for word in words
    )


@contextlib.contextmanager
def sequence_parallel_scope(
    mesh: keras.distribution.DeviceMesh, time: str, batch: str | None
) -> Iterator[None]:
    """Scope in which time is split over devices, and the batch if it is to be.

    Args:
        mesh: The devices.
        time: Name of the axis of `mesh` that time is split over.
        batch: Name of the one that the batch is split over, or `None`.

    Raises:
        NotImplementedError: If JAX is too old.
        RuntimeError: If such a scope is open.
    """
    if _split is None:
        raise NotImplementedError(
            "Splitting time over devices needs `jax.make_user_context`: update JAX. "
            f"Received: JAX {jax.__version__}"
        )
    if _split.value is not None:
        raise RuntimeError(
            "`sequence_parallel` must not be entered within another: leave that first. "
            f"Received: time={time!r}, where {_split.value.time!r} is split already"
        )
    with _split(_Split(mesh.backend_mesh, time, batch)):
        yield


def time_shards() -> int:
    """Over how many devices time is split, for whoever is to split it: else 1."""
    split = None if _split is None else _split.value
    return 1 if split is None or split.is_inside else split.shards


def split_over_time(x: Tensor) -> Tensor:
    """`(batch, time, …)`, which lies split over the devices if they divide it."""
    length = x.shape[1]
    # JAX refuses stretches of unequal length where they reach a program's arguments.
    if time_shards() == 1 or not isinstance(length, int) or length % time_shards():
        return x
    split = _split.value
    sharding = jax.sharding.NamedSharding(split.mesh, split.spec(x, True))
    return lax.with_sharding_constraint(x, sharding)


def over_time_shards(
    function: Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]],
    split: Sequence[Tensor],
    rows: Sequence[Tensor] = (),
    whole: Sequence[Tensor] = (),
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """Call a function on each device's stretch of time. Only where `time_shards() > 1`.

    Args:
        function: Maps three sequences of tensors to two. In it `time_shards()` is 1,
            and the functions below exchange with the other devices.
        split: Tensors `(batch, time, …)`, of a time that the devices divide. Each sees
            its stretch.
        rows: Tensors `(batch, …)`: each device sees them, of its part of the batch.
        whole: Tensors that each device sees as they are.

    Returns:
        What `function` returns, tensors as of `split` and tensors as of `rows`; of the
        latter all devices along time must find the same.
    """
    scope = _split.value

    def inside(*parts):
        with _split(scope._replace(is_inside=True)):
            return function(*parts)

    whole_batch, with_time = (scope.spec(split[0], x) for x in (False, True))
    return jax.shard_map(
        inside,
        mesh=scope.mesh,
        in_specs=(with_time, whole_batch, PartitionSpec()),
        out_specs=(with_time, whole_batch),
        # Kernels and loops don't say which of their values differ between devices.
        check_vma=False,
    )(tuple(split), tuple(rows), tuple(whole))


def all_time_shards(x: Tensor) -> Tensor:
    """All devices' `(batch, steps, …)`, one after the other, `(batch, all steps, …)`.

    Only in a function of `over_time_shards`.
    """
    return lax.all_gather(x, _split.value.time, axis=1, tiled=True)


def of_time_shard(x: Tensor) -> Tensor:
    """The device's own steps of `(batch, all steps, …)`, as of `all_time_shards`."""
    split = _split.value
    steps = x.shape[1] // split.shards
    start = lax.axis_index(split.time) * steps
    return lax.dynamic_slice_in_dim(x, start, steps, axis=1)


def from_time_shard_before(x: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """`x` of the device whose stretch is before, in the direction of time.

    Only in a function of `over_time_shards`.

    Args:
        x: A tensor of each device.
        first: What the device with the first stretch gets, like `x`.
        reverse: Whether time runs from the last step to the first.
    """
    split = _split.value
    pairs = [(i, i + 1) for i in range(split.shards - 1)]
    if reverse:
        pairs = [(j, i) for i, j in pairs]
    moved = lax.ppermute(x, split.time, pairs)
    start = split.shards - 1 if reverse else 0
    return jnp.where(lax.axis_index(split.time) == start, first, moved)


def call_when_built(model: keras.Model, function: Callable[[], Any]) -> None:
    """Call `function` before `fit` trains a step, when the model has its weights.

    For callbacks, once training begins: `fit` has built the model then.

    Args:
        model: The model that is trained.
        function: Function without arguments.

    Raises:
        ValueError: If the model is not built.
    """
    if not model.built:
        raise ValueError(
            "The model must be built, or be trained by `fit`, which builds it. "
            f"Received: model={model.name!r}"
        )
    function()


@contextlib.contextmanager
def drop_compiled_programs() -> Iterator[None]:
    """Free afterwards what JAX would keep for ever of programs compiled within.

    It keeps programs, even those of models that are gone. It drops those compiled
    before with them: what is called again is compiled anew.
    """
    try:
        yield
    finally:
        jax.clear_caches()


def proves_sizes() -> bool:
    """Whether what is traced with unknown sizes runs at all sizes, told by their names.

    Two sizes that have to be equal need one name then.
    """
    return True


def check_sizes(
    function: Callable, shapes: list[tuple[int | str, ...]], dtypes: list[str]
) -> None:
    """Raise what `function` raises if it cannot be traced where sizes are unknown.

    Args:
        function: Function of tensors by position, without side effects.
        shapes: The shape of each tensor: sizes, and names of unknown ones, the same
            name for the same size.
        dtypes: The dtype of each tensor.
    """
    scope = jax.export.SymbolicScope()
    inputs = [
        jax.ShapeDtypeStruct(
            jax.export.symbolic_shape(",".join(map(str, shape)), scope=scope),
            jax.dtypes.canonicalize_dtype(dtype),
        )
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    jax.eval_shape(function, *inputs)


def saved_model_options(shapes: Any) -> dict:
    """Keyword arguments for Keras's SavedModel export of an endpoint.

    Args:
        shapes: Shapes of the endpoint's arguments, in its structure, as strings: a name
            for each unknown size, the same name for the same size.

    Returns:
        Options for an export without gradients, that loading a SavedModel would warn
        of, and with the names of unknown sizes, that Keras would all tell apart.
    """
    return {"jax2tf_kwargs": {"with_gradient": False, "polymorphic_shapes": shapes}}


def writes_saved_models() -> bool:
    """Whether Keras writes SavedModels on this backend."""
    return True


def with_sizes_of(x: Tensor, inputs: Tensor, name: str) -> Tensor:
    """`x`, whose axes are as long as the first ones of `inputs`.

    Args:
        x: What is as far as sizes are known.
        inputs: A tensor of more axes.
        name: That of `x`, for the error where sizes are known later and differ.
    """
    # Sizes are known here, or JAX proves them itself.
    del inputs, name
    return x


def exact_product(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product, in the whole precision of its dtype on every device."""
    return jnp.matmul(x, y, precision="highest")


def row_pieces(arrays: Sequence[Tensor]) -> list[slice]:
    """Rows of a batch that are computed at a time, one piece after another.

    Args:
        arrays: Tensors, one of them as large as those that are made on the way.
    """
    # What is compiled is not made faster by it.
    del arrays
    return [slice(None)]
