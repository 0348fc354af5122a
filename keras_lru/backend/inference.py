"""NumPy and OpenVINO: Keras predicts there, and trains nothing."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from keras import ops

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

_ONE_STRETCH = "Time is not split on this backend."

_REFUSAL = (
    "Models are {} on the backends 'jax', 'tensorflow' and 'torch'. "
    f"Received: backend={keras.backend.backend()!r}"
)


def longest_loop() -> int | None:
    """Steps up to which a plain loop over time costs least on a CPU, `None`: any."""
    return 0


def has_accelerator() -> bool:
    """Whether the default device is a GPU or a TPU."""
    return False


def has_loop_in_place(batch: int | None) -> bool:
    """Whether a loop over time costs little that writes its states over its inputs.

    Args:
        batch: Sequences, `None` if unknown.
    """
    del batch
    return False


def function_with_gradient(
    forward: Callable[..., tuple[Any, Any]], backward: Callable[..., tuple]
) -> Callable:
    """A function of tensors; nothing is differentiated here.

    Args:
        forward: Maps tensors to `(outputs, kept)`.
        backward: Not used.

    Returns:
        A function of the arguments of `forward` that returns `outputs`.
    """
    del backward
    return lambda *args: forward(*args)[0]


def differentiated_as(function: Callable, other: Callable) -> Callable:
    """`function`, whose gradient is that of `other`, which computes the same.

    Args:
        function: Function of tensors, by position, that returns a tuple of tensors.
        other: Another, of operations that the backend differentiates.
    """
    del function
    return other


def for_two_uses(x: Tensor) -> tuple[Tensor, Tensor]:
    """`x` twice, for two uses whose gradients are added where they meet."""
    return x, x


def compiled(function: Callable) -> Callable:
    """The function as it is.

    Args:
        function: Function of tensors, or structures of them, by position, and of
            hashable settings by keyword.
    """
    return function


def as_program(function: Callable) -> Callable:
    """The function as it is.

    Args:
        function: As of `compiled`.
    """
    return function


def cond(
    pred: Tensor, true_fn: Callable[[], Tensor], false_fn: Callable[[], Tensor]
) -> Tensor:
    """`true_fn()` if a boolean scalar is true, else `false_fn()`, of the same shape."""
    return ops.where(pred, true_fn(), false_fn())


def cuts_unknown_lengths() -> bool:
    """Whether a length that is unknown while tracing can be cut into blocks."""
    return False


def largest(x: Tensor) -> Tensor:
    """Largest of each row of non-negative numbers, 0 of none."""
    return ops.max(x, axis=1, initial=0)


def argsort_distinct(keys: Tensor) -> Tensor:
    """The order of each row of numbers, all different, as integers."""
    return ops.argsort(keys, axis=1)


def expm1(x: Tensor) -> Tensor:
    """`exp(x) − 1` without cancellation."""
    return ops.expm1(x)


def gelu(x: Tensor) -> Tensor:
    """The exact GELU."""
    return ops.gelu(x, approximate=False)


def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """Angles of the points `(x, y)`, in radians and in their dtype."""
    return ops.arctan2(y, x)


def vector_jacobian_product(
    function: Callable[[Any], Any], x: Any, upstream: Any
) -> Any:
    """Refused.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_REFUSAL.format("differentiated"))


def value_and_gradients(
    function: Callable[[list[Tensor]], tuple[Tensor, Any]], tensors: list[Tensor]
) -> tuple[tuple[Tensor, Any], list[Tensor]]:
    """Refused.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_REFUSAL.format("differentiated"))


def stateful_program(function: Callable, variables: list[keras.Variable]) -> Callable:
    """The function as it is.

    Args:
        function: Function of tensors, or structures of them, by position.
        variables: All variables that it reads or assigns.
    """
    del variables
    return function


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
        xs: Tensors `(batch, time, features)`, of a known length.
        reverse: Whether time runs from the last step to the first.

    Returns:
        `(batch, time, state_features)` and `(batch, state_features)`.
    """
    before = []
    order = range(xs[0].shape[1])
    for t in reversed(order) if reverse else order:
        before.append(state)
        state = step(state, *(x[:, t] for x in xs))
    return ops.stack(before[::-1] if reverse else before, axis=1), state


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


def sine_and_cosine(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of angles within a quarter turn, in radians."""
    return ops.sin(x), ops.cos(x)


def has_recurrence_kernel() -> bool:
    """Whether there is a `recurrence_kernel`."""
    return False


def has_value(x: Any) -> bool:
    """Whether the numbers of a tensor, or an array, can be read: no trace has them."""
    return not isinstance(x, keras.KerasTensor)


def recurrence_kernel(
    a: Tensor, b: Tensor, state: Tensor, parts: int, reverse: bool, after: bool = False
) -> tuple[Tensor, Tensor]:
    """None: see `has_recurrence_kernel`."""
    raise NotImplementedError("There is no kernel of recurrences on this backend.")


def doubling_loop(cond: Callable, body: Callable, loop_vars: tuple) -> tuple:
    """`while_loop` of at most 31 rounds."""
    return ops.while_loop(cond, body, loop_vars, maximum_iterations=31)


def is_replicated() -> bool:
    """Whether each of several replicas computes on its own part of the batch."""
    return False


def sum_over_replicas(x: Tensor) -> Tensor:
    """The sum of the replicas' `x`, for each of them: here `x` itself."""
    return x


@contextlib.contextmanager
def data_parallel_scope(auto_shard_dataset: bool = True) -> Iterator[int]:
    """Scope in which models are made on the one device; yields 1.

    Args:
        auto_shard_dataset: Of no effect, as there is one process.
    """
    yield 1


def data_parallel_again() -> contextlib.AbstractContextManager[None]:
    """The `data_parallel_scope` that is open: there is none."""
    return contextlib.nullcontext()


def join_processes(
    job_addresses: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: float,
) -> None:
    """Refused: nothing is trained.

    Args:
        job_addresses: Addresses of all processes.
        num_processes: How many there are.
        process_id: Which of them this one is.
        timeout: Seconds without a sign of life after which a process is lost.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(
        "Keras trains in several processes on the backend 'jax'. "
        f"Received: backend={keras.backend.backend()!r}, num_processes={num_processes}"
    )


def num_processes() -> int:
    """How many processes compute together: this one alone."""
    return 1


def process_id() -> int:
    """Which of them this one is, from 0."""
    return 0


def broadcast(data: bytes) -> bytes:
    """What process 0 passes, in all processes: `data` itself.

    Args:
        data: Of process 0.
    """
    return data


def lost_another_process(error: Exception) -> bool:
    """Whether an error says that another process is gone: there is none."""
    return False


@contextlib.contextmanager
def sequence_parallel_scope(
    mesh: keras.distribution.DeviceMesh, time: str, batch: str | None
) -> Iterator[None]:
    """Refused: only JAX splits time.

    Args:
        mesh: The devices.
        time: Name of an axis of `mesh`.
        batch: Name of another, or `None`.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(
        "Time is split over devices on the backend 'jax'. "
        f"Received: backend={keras.backend.backend()!r}"
    )
    yield


def time_shards() -> int:
    """Over how many devices time is split: it is on one."""
    return 1


def split_over_time(x: Tensor) -> Tensor:
    """`x` itself: nothing is split."""
    return x


def over_time_shards(
    function: Callable[..., tuple[Sequence[Tensor], Sequence[Tensor]]],
    split: Sequence[Tensor],
    rows: Sequence[Tensor] = (),
    whole: Sequence[Tensor] = (),
) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
    """None: see `time_shards`."""
    raise NotImplementedError(_ONE_STRETCH)


def all_time_shards(x: Tensor) -> Tensor:
    """None: see `time_shards`."""
    raise NotImplementedError(_ONE_STRETCH)


def of_time_shard(x: Tensor) -> Tensor:
    """None: see `time_shards`."""
    raise NotImplementedError(_ONE_STRETCH)


def from_time_shard_before(x: Tensor, first: Tensor, reverse: bool) -> Tensor:
    """None: see `time_shards`."""
    raise NotImplementedError(_ONE_STRETCH)


def call_when_built(model: keras.Model, function: Callable[[], Any]) -> None:
    """Refused: nothing is trained.

    Args:
        model: The model.
        function: Function without arguments.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_REFUSAL.format("trained"))


@contextlib.contextmanager
def drop_compiled_programs() -> Iterator[None]:
    """Free afterwards what would be kept for ever: nothing is."""
    yield


def proves_sizes() -> bool:
    """Whether what is traced with unknown sizes runs at all sizes, told by their names.

    Two sizes that have to be equal need one name then.
    """
    return False


def check_sizes(
    function: Callable, shapes: list[tuple[int | str, ...]], dtypes: list[str]
) -> None:
    """Refused, as all that SavedModels need.

    Args:
        function: Function of tensors by position, without side effects.
        shapes: The shape of each tensor: sizes, and names of unknown ones.
        dtypes: The dtype of each tensor.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_REFUSAL.format("traced"))


def saved_model_options(shapes: Any) -> dict:
    """Refused, as all that SavedModels need.

    Args:
        shapes: Shapes of the endpoint's arguments, in its structure, as strings.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_REFUSAL.format("traced"))


def writes_saved_models() -> bool:
    """Whether Keras writes SavedModels on this backend."""
    return False


def with_sizes_of(x: Tensor, inputs: Tensor, name: str) -> Tensor:
    """`x`, whose axes are as long as the first ones of `inputs`.

    Args:
        x: What is as far as sizes are known.
        inputs: A tensor of more axes.
        name: That of `x`, for the error where sizes are known later and differ.
    """
    # Sizes are known here.
    del inputs, name
    return x


def exact_product(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product, in the whole precision of its dtype on every device."""
    return x @ y


def row_pieces(arrays: Sequence[Tensor]) -> list[slice]:
    """Rows of a batch that are computed at a time, one piece after another.

    Args:
        arrays: Tensors, one of them as large as those that are made on the way.
    """
    # What is compiled is not made faster by it.
    del arrays
    return [slice(None)]
