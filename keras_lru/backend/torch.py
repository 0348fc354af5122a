"""PyTorch: operations run one by one, loops are Python's and write in place."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import torch
from keras import ops
from torch.autograd import forward_ad

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

# Larger ones get new pages from the system each time, which take as long to clear as
# an operation takes.
_LARGEST_FROM_HEAP = 2**24

_ONE_STRETCH = "Time is not split on this backend."

_NO_SAVED_MODELS = (
    "SavedModels are written on the backends 'jax' and 'tensorflow'. "
    "Received: backend='torch'"
)


def longest_loop() -> int | None:
    """Steps up to which a plain loop over time costs least on a CPU, `None`: any.

    A step costs some ten microseconds, which more than a thousand make the larger part.
    While a graph is traced, which holds every step, none.
    """
    return 0 if torch.compiler.is_compiling() or torch.jit.is_tracing() else 1024


def has_accelerator() -> bool:
    """Whether Keras puts tensors on a GPU, or another device that is no CPU."""
    # On "meta" there are shapes alone.
    return ops.zeros(()).device.type not in ("cpu", "meta")


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
    """A function of tensors that is differentiated by hand.

    While a graph is traced, and by transforms of `torch.func`, it is differentiated as
    PyTorch does.

    Args:
        forward: Maps tensors to `(outputs, kept)`: a tensor or a tuple of tensors, and
            what `backward` needs: arguments and outputs, in a tuple.
        backward: Maps `kept` and the gradient for each output to a tuple with the
            gradient for each argument of `forward`. It is differentiated in its turn.

    Returns:
        A function of the arguments of `forward` that returns `outputs`.
    """
    if _is_transformed() or is_forward_only():
        return lambda *args: forward(*args)[0]

    def function(*args):
        tensors = map(ops.convert_to_tensor, args)
        return _WithGradient.apply(_Function(forward, backward), *tensors)

    return function


class _Function:
    """Two functions, and which of the arguments and outputs the second one needs."""

    def __init__(self, forward, backward):
        self.forward = forward
        self.backward = backward
        self.kept: list[int] = []

    def __call__(self, *args):
        """The outputs."""
        outputs, kept = self.forward(*args)
        several = isinstance(outputs, tuple)
        outputs = outputs if several else (outputs,)
        known = [*args, *outputs]
        self.kept = [
            next(i for i, x in enumerate(known) if x is needed) for needed in kept
        ]
        # PyTorch lets nobody write into a view that such a function returns.
        outputs = tuple(x.clone() if x._is_view() else x for x in outputs)
        return outputs if several else outputs[0]


class _WithGradient(torch.autograd.Function):
    """`forward` and `backward` of a `_Function`."""

    @staticmethod
    def forward(function, *args):
        return function(*args)

    @staticmethod
    def setup_context(ctx, inputs, output):
        function, *args = inputs
        outputs = output if isinstance(output, tuple) else (output,)
        known = [*args, *outputs]
        ctx.function = function
        # By PyTorch's own means: a closure over outputs would keep them for ever.
        ctx.save_for_backward(*(known[i] for i in function.kept))

    @staticmethod
    def backward(ctx, *upstream):
        return None, *ctx.function.backward(ctx.saved_tensors, *upstream)


def _is_transformed(*tensors):
    """Whether something else than a backward pass looks at each operation.

    A trace, a transform of `torch.func`, forward derivatives, or gradients in batches,
    of which nothing public tells.
    """
    # First: TorchDynamo doesn't know the others.
    return (
        torch.compiler.is_compiling()
        or torch.jit.is_tracing()
        or torch._C._are_functorch_transforms_active()
        or forward_ad._current_level >= 0
        or any(map(torch._C._functorch.is_legacy_batchedtensor, tensors))
    )


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
    """The function as it is: operations that run eagerly need no program.

    Args:
        function: Function of tensors, or structures of them, by position, and of
            hashable settings by keyword.
    """
    return function


def as_program(function: Callable) -> Callable:
    """The function as it is: a loop of Python is all that there is.

    Args:
        function: As of `compiled`.
    """
    return function


def cond(
    pred: Tensor, true_fn: Callable[[], Tensor], false_fn: Callable[[], Tensor]
) -> Tensor:
    """`true_fn()` if a boolean scalar is true, else `false_fn()`, of the same shape.

    Both are computed where a graph holds for either.
    """
    if _is_transformed():
        return torch.where(pred, true_fn(), false_fn())
    return ops.cond(pred, true_fn, false_fn)


def cuts_unknown_lengths() -> bool:
    """Whether a length that is unknown while tracing can be cut into blocks.

    An export of PyTorch would be one for lengths of some remainders.
    """
    return False


def largest(x: Tensor) -> Tensor:
    """Largest of each row of non-negative numbers, 0 of none."""
    # TorchDynamo doesn't get through `ops.max`.
    return torch.amax(torch.nn.functional.pad(x, (1, 0)), dim=1)


def argsort_distinct(keys: Tensor) -> Tensor:
    """The order of each row of numbers, all different, as integers."""
    # Not the stable sort of `ops.argsort`, which ONNX has not.
    return torch.argsort(keys, dim=1).to(torch.int32)


def expm1(x: Tensor) -> Tensor:
    """`exp(x) − 1` without cancellation."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing():
        # ONNX has no expm1, and PyTorch's exporter writes exp(x) − 1.
        return torch.tanh(0.5 * x) * (torch.exp(x) + 1.0)
    return torch.expm1(x)


def gelu(x: Tensor) -> Tensor:
    """The exact GELU."""
    return ops.gelu(x, approximate=False)


def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """Angles of the points `(x, y)`, in radians and in their dtype."""
    # Of float64, Keras's own are float32.
    return torch.arctan2(ops.convert_to_tensor(y), ops.convert_to_tensor(x))


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
    return torch.func.vjp(function, x)[1](upstream)[0]


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
    with torch.enable_grad():
        leaves = [x.detach().requires_grad_() for x in tensors]
        value, others = function(leaves)
    gradients = torch.autograd.grad(value, leaves, materialize_grads=True)
    value, others = keras.tree.map_structure(lambda x: x.detach(), (value, others))
    return (value, others), list(gradients)


def stateful_program(function: Callable, variables: list[keras.Variable]) -> Callable:
    """A function that reads and assigns Keras variables, as one program.

    Args:
        function: Function of tensors, or structures of them, by position.
        variables: All variables that it reads or assigns. They exist already.

    Returns:
        A function of the same arguments.
    """
    del variables

    def run(*args):
        # Tensors of the inference mode could not be differentiated after it.
        with torch.inference_mode(False), torch.no_grad():
            return function(*args)

    return run


def _writes_in_place(*tensors):
    """Whether what is computed of these tensors is nobody's to differentiate."""
    if _is_transformed(*tensors):
        return False
    return not (torch.is_grad_enabled() and any(x.requires_grad for x in tensors))


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
        `(batch, time, state_features)` and `(batch, state_features)`. It can be
        differentiated.
    """
    if isinstance(xs[0].shape[1], torch.SymInt):
        return _exported_loop(step, state, xs, reverse)
    before = []
    for x in _in_time([*zip(*(x.unbind(1) for x in xs), strict=True)], reverse):
        before.append(state)
        state = step(state, *x)
    return torch.stack(_in_time(before, reverse), dim=1), state


def packed_loop(
    step: Callable[[Tensor, Tensor], Tensor],
    a: tuple[Tensor, Tensor],
    state: Tensor,
    xs: Tensor,
    reverse: bool = False,
) -> tuple[Tensor, Tensor]:
    """`loop_over_time` of `state ← a · state + xs[:, t]` over packed complex numbers.

    Args:
        step: The same, for backends that do it no other way.
        a: Real and imaginary parts, `(n,)`.
        state: `(batch, 2·n)`: real parts, then imaginary ones.
        xs: `(batch, time, 2·n)`.
        reverse: Whether time runs from the last step to the first.

    Returns:
        `(batch, time, 2·n)` and `(batch, 2·n)`.
    """
    if not _writes_in_place(*a, state, xs):
        return loop_over_time(step, state, [xs], reverse)
    real, imag = a
    n = real.shape[0]
    direct, cross = torch.cat([real, real]), torch.cat([-imag, imag])
    states, last = torch.empty_like(xs), torch.empty_like(state)
    path = [*_in_time(states.unbind(1), reverse), last]
    path[0].copy_(state)
    for before, after, x in zip(
        path, path[1:], _in_time(xs.unbind(1), reverse), strict=False
    ):
        torch.addcmul(x, direct, before, out=after)
        after.addcmul_(cross, before.roll(n, -1))
    return states, last


def _exported_loop(step, state, xs, reverse):
    """`loop_over_time` while `torch.export` traces an unknown length."""
    from torch._higher_order_ops.scan import scan

    last, before = scan(
        # A copy: an output must not be an input too.
        lambda state, x: (step(state, *x), state.clone()),
        state,
        [*xs],
        dim=1,
        reverse=reverse,
    )
    return before, last


def _in_time(steps, reverse):
    return steps[::-1] if reverse else steps


def sine_and_cosine(x: Tensor) -> tuple[Tensor, Tensor]:
    """Of angles within a quarter turn, in radians."""
    return ops.sin(x), ops.cos(x)


def has_recurrence_kernel() -> bool:
    """Whether there is a `recurrence_kernel`."""
    return False


def has_value(x: Any) -> bool:
    """Whether the numbers of a tensor, or an array, can be read: no trace has them."""
    if isinstance(x, keras.KerasTensor) or _is_transformed():
        return False
    return not isinstance(x, torch.Tensor) or x.device.type != "meta"


def recurrence_kernel(
    a: Tensor, b: Tensor, state: Tensor, parts: int, reverse: bool, after: bool = False
) -> tuple[Tensor, Tensor]:
    """None: see `has_recurrence_kernel`."""
    raise NotImplementedError("There is no kernel of recurrences on this backend.")


def doubling_loop(cond: Callable, body: Callable, loop_vars: tuple) -> tuple:
    """`while_loop` of at most 31 rounds that is differentiated in reverse.

    31 doublings reach past any tensor axis.
    """
    return ops.while_loop(cond, body, loop_vars, maximum_iterations=31)


def is_replicated() -> bool:
    """Whether each of several replicas computes on its own part of the batch."""
    return False


def sum_over_replicas(x: Tensor) -> Tensor:
    """The sum of the replicas' `x`, for each of them: here `x` itself."""
    return x


@contextlib.contextmanager
def data_parallel_scope(auto_shard_dataset: bool = True) -> Iterator[int]:
    """Scope in which models are made and trained on the one device; yields 1.

    Args:
        auto_shard_dataset: Of no effect, as there is one process.

    Raises:
        NotImplementedError: If there are several GPUs: Keras trains on one.
    """
    accelerators = torch.accelerator.device_count()
    if accelerators > 1:
        raise NotImplementedError(
            "Keras trains on several devices on the backends 'jax' and 'tensorflow'; "
            "on 'torch' wrap the model in torch.nn.parallel.DistributedDataParallel, "
            f"or let it see one GPU. Received: {accelerators} GPUs"
        )
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
    """Refused: Keras's `fit` trains in one process.

    Args:
        job_addresses: Addresses of all processes.
        num_processes: How many there are.
        process_id: Which of them this one is.
        timeout: Seconds without a sign of life after which a process is lost.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(
        "Keras trains in several processes on the backend 'jax'; on 'torch' wrap the "
        "model in torch.nn.parallel.DistributedDataParallel, in a loop of your own. "
        f"Received: backend='torch', num_processes={num_processes}"
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
    raise NotImplementedError(_NO_SAVED_MODELS)


def saved_model_options(shapes: Any) -> dict:
    """Refused, as all that SavedModels need.

    Args:
        shapes: Shapes of the endpoint's arguments, in its structure, as strings.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_NO_SAVED_MODELS)


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
    # Sizes are known here, or the export guards them itself.
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
    if _is_transformed(*arrays):
        return [slice(None)]
    x = max(arrays, key=lambda x: x.nbytes)
    if x.device.type != "cpu":
        return [slice(None)]
    count = max(1, _LARGEST_FROM_HEAP * len(x) // max(1, x.nbytes))
    return [slice(start, start + count) for start in range(0, max(1, len(x)), count)]
