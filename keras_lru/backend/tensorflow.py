"""TensorFlow: a loop step costs a few kernel launches, replicas see their own batch."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import ops
from tensorflow.python.eager import forwardprop_util, record

from keras_lru.backend.forward_only import forward_only, is_forward_only
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

_SEVERAL = (
    "Keras trains in several processes on the backend 'jax': its `fit` fails under "
    "tf.distribute.MultiWorkerMirroredStrategy. On 'tensorflow' one process trains on "
    "all GPUs of its machine. Received: backend='tensorflow', {}"
)

_ONE_STRETCH = "Time is not split on this backend."

# Those of the open data-parallel scopes, the innermost last.
_strategies: list[tf.distribute.Strategy] = []


def longest_loop() -> int | None:
    """Steps up to which a plain loop over time costs least on a CPU, `None`: any.

    A step costs a kernel launch each. Under `jit_compile=True` it would not: the choice
    is made while tracing, when it is not known yet who will run the graph.
    """
    return 0


def has_accelerator() -> bool:
    """Whether the default device is a GPU or a TPU."""
    return any(map(tf.config.list_logical_devices, ("GPU", "TPU")))


def has_loop_in_place(batch: int | None) -> bool:
    """Whether a loop over time costs little that writes its states over its inputs.

    Args:
        batch: Sequences, `None` if unknown.
    """
    del batch
    # As a program of XLA's, in graphs that train: eagerly each new shape would be
    # compiled, and of exports other formats have no such program.
    trains = tf.inside_function() and record.could_possibly_record()
    return trains and not (_is_mapped() or is_forward_only() or has_accelerator())


def function_with_gradient(
    forward: Callable[..., tuple[Any, Any]], backward: Callable[..., tuple]
) -> Callable:
    """A function of tensors that is differentiated by hand.

    Args:
        forward: Maps tensors to `(outputs, kept)`: a tensor or a tuple of tensors, and
            what `backward` needs, tensors in a tuple.
        backward: Maps `kept` and the gradient for each output to a tuple with the
            gradient for each argument of `forward`. Its own gradient is TensorFlow's.

    Returns:
        A function of the arguments of `forward` that returns `outputs`.
    """
    if is_forward_only():
        return lambda *args: forward(*args)[0]

    @tf.custom_gradient
    def function(*args):
        outputs, kept = forward(*args)

        def gradient(*upstream):
            # SavedModels cannot hold a custom gradient of a custom gradient.
            with forward_only():
                gradients = backward(kept, *upstream)
            return gradients if len(gradients) > 1 else gradients[0]

        return outputs, gradient

    return function


def differentiated_as(function: Callable, other: Callable) -> Callable:
    """`function`, whose gradient is that of `other`, which computes the same.

    Args:
        function: Function of tensors, by position, that returns a tuple of tensors.
        other: Another, of operations that the backend differentiates.
    """

    @tf.custom_gradient
    def result(*args):
        def gradient(*upstream):
            return vector_jacobian_product(lambda args: other(*args), args, upstream)

        # A tape of a tape would look for a gradient of what has none.
        with record.stop_recording():
            return function(*args), gradient

    def call(*args):
        # A `tf.autodiff.ForwardAccumulator` reads operations too.
        is_accumulated = bool(forwardprop_util.pack_tangents(list(args)).tangents)
        return (other if is_accumulated or _is_mapped() else result)(*args)

    return call


def _is_mapped():
    """Whether `tf.vectorized_map` or a Jacobian takes apart what is traced."""
    scope = tf.compat.v1.get_default_graph().get_name_scope()
    return tf.inside_function() and "loop_body" in scope.split("/")


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
    """A function that always runs as one program, loops included.

    Args:
        function: As of `compiled`.

    Returns:
        A function of the same arguments.
    """
    # A loop of small steps takes a sixth of the time without a kernel launch for each.
    return tf.function(function, autograph=False, jit_compile=True)


def cond(
    pred: Tensor, true_fn: Callable[[], Tensor], false_fn: Callable[[], Tensor]
) -> Tensor:
    """`true_fn()` if a boolean scalar is true, else `false_fn()`, of the same shape."""
    return ops.cond(pred, true_fn, false_fn)


def cuts_unknown_lengths() -> bool:
    """Whether a length that is unknown while tracing can be cut into blocks."""
    return True


def largest(x: Tensor) -> Tensor:
    """Largest of each row of non-negative numbers, 0 of none."""
    return ops.max(x, axis=1, initial=0)


def argsort_distinct(keys: Tensor) -> Tensor:
    """The order of each row of numbers, all different, as integers."""
    return ops.argsort(keys, axis=1)


def expm1(x: Tensor) -> Tensor:
    """`exp(x) − 1` without cancellation, by operations that other formats have too."""
    return tf.tanh(0.5 * x) * (tf.exp(x) + 1.0)


def gelu(x: Tensor) -> Tensor:
    """The exact GELU, by operations that other formats have too."""
    if x.dtype.size < 4:
        # Beside 1, half precision has few digits left.
        return tf.nn.gelu(x)

    @tf.custom_gradient
    def with_gradient(x):
        cumulative = 0.5 + 0.5 * tf.math.erf(math.sqrt(0.5) * x)

        def gradient(upstream):
            density = math.sqrt(0.5 / math.pi) * tf.exp(-0.5 * tf.square(x))
            return upstream * (cumulative + x * density)

        return x * cumulative, gradient

    if record.could_possibly_record():
        return with_gradient(x)
    # As LiteRT knows it.
    return 0.5 * x * (1.0 + tf.math.erf(math.sqrt(0.5) * x))


def arctan2(y: Tensor, x: Tensor) -> Tensor:
    """Angles of the points `(x, y)`, in radians and in their dtype."""
    return ops.arctan2(y, x)


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
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, upstream, tf.UnconnectedGradients.ZERO)


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
    tensors = [tf.convert_to_tensor(x) for x in tensors]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        value, others = function(tensors)
    zero = tf.UnconnectedGradients.ZERO
    gradients = tape.gradient(value, tensors, unconnected_gradients=zero)
    # Those of an embedding come as slices.
    return (value, others), [tf.convert_to_tensor(x) for x in gradients]


def stateful_program(function: Callable, variables: list[keras.Variable]) -> Callable:
    """A function that reads and assigns Keras variables, as one program.

    Args:
        function: Function of tensors, or structures of them, by position.
        variables: All variables that it reads or assigns. They exist already.

    Returns:
        A function of the same arguments.
    """
    del variables
    return tf.function(function, autograph=False, jit_compile=True)


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
        `(batch, time, state_features)` and `(batch, state_features)`. Without XLA it
        can be differentiated.
    """
    sizes = [x.shape[-1] for x in xs]
    if len(xs) > 1 and xs[0].shape[1] is None:
        # Of unknown lengths, Keras's scan takes one tensor.
        xs = [tf.concat(xs, axis=-1)]

    def body(state, x):
        if len(x) < len(sizes):
            x = tf.split(x[0], sizes, axis=-1)
        return step(state, *x), state

    steps = [ops.swapaxes(x, 0, 1) for x in xs]
    last, states = ops.scan(body, state, steps, reverse=reverse)
    return ops.swapaxes(states, 0, 1), last


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
    return not isinstance(x, keras.KerasTensor) and (
        tf.executing_eagerly() or not tf.is_tensor(x)
    )


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
    """Whether each of several replicas computes on its own part of the batch.

    So it is under a `tf.distribute` strategy.
    """
    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def sum_over_replicas(x: Tensor) -> Tensor:
    """The sum of the replicas' `x`, for each of them. Only where `is_replicated()`."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x)


@contextlib.contextmanager
def data_parallel_scope(auto_shard_dataset: bool = True) -> Iterator[int]:
    """Scope in which models are made and trained on all devices; yields their number.

    GPUs where there are any, else CPU devices.

    Args:
        auto_shard_dataset: Of no effect, as there is one process.

    Raises:
        NotImplementedError: If TF_CONFIG names several workers.
    """
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver().cluster_spec()
    workers = sum(map(cluster.num_tasks, cluster.jobs))
    if workers > 1:
        raise NotImplementedError(_SEVERAL.format(f"{workers} tasks in TF_CONFIG"))
    devices = next(filter(None, map(tf.config.list_logical_devices, ("GPU", "CPU"))))
    strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
    scope = strategy.scope()
    scope.__enter__()
    _strategies.append(strategy)
    try:
        yield strategy.num_replicas_in_sync
    finally:
        _strategies.remove(strategy)
        # A session that was cleared took the scope with it: nothing is left to exit.
        if tf.distribute.get_strategy() is strategy:
            scope.__exit__(None, None, None)


@contextlib.contextmanager
def data_parallel_again() -> Iterator[None]:
    """The `data_parallel_scope` that is open, even if a session was cleared in it."""
    if not _strategies or tf.distribute.has_strategy():
        yield
    else:
        with _strategies[-1].scope():
            yield


def join_processes(
    job_addresses: str | None,
    num_processes: int | None,
    process_id: int | None,
    timeout: float,
) -> None:
    """Refused: Keras's `fit` does not run under `MultiWorkerMirroredStrategy`.

    Args:
        job_addresses: Addresses of all processes.
        num_processes: How many there are.
        process_id: Which of them this one is.
        timeout: Seconds without a sign of life after which a process is lost.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(_SEVERAL.format(f"num_processes={num_processes}"))


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

    For callbacks, once training begins. `fit` would build the model while it traces the
    first step: it is built just before then, on what the batches look like, and
    `function` is called after those that have waited longer.

    Args:
        model: The model that is trained.
        function: Function without arguments.

    Raises:
        ValueError: Now if nothing trains the model, or in the first step if it can't be
            built without data.
    """
    # As Keras asks for JAX: a model may be called built before its layers are.
    if all(layer.built for layer in model._flatten_layers()):
        function()
        return
    if model.train_function is None:
        raise ValueError(
            "The model must be built, or be trained by `fit`, which builds it. "
            f"Received: model={model.name!r}"
        )
    if not isinstance(model.train_function, _FirstStep):
        model.train_function = _FirstStep(model)
    model.train_function.waiting.append((model.history, function))


class _FirstStep:
    """Stands in for a model's `train_function` until it is called.

    Args:
        model: The model, not built.
    """

    def __init__(self, model):
        self.model = model
        self.train_function = model.train_function
        self.waiting = []

    def __call__(self, iterator):
        _build(self.model, iterator.element_spec)
        self.model.train_function = self.train_function
        for history, function in self.waiting:
            # Others waited in a `fit` that failed before its first step.
            if history is self.model.history:
                function()
        return self.train_function(iterator)


def _build(model, data):
    """Build a model as JAX's `fit` does: by calling it on tensors without values."""

    def to_symbolic(spec):
        if isinstance(spec, tf.TensorSpec):
            return keras.KerasTensor(tuple(spec.shape), spec.dtype.name)
        # How `fit` passes a part that is `None`.
        return None if isinstance(spec, tf.OptionalSpec) else spec

    was_built = model.built
    inputs, _, _ = keras.utils.unpack_x_y_sample_weight(
        keras.tree.map_structure(to_symbolic, data)
    )
    try:
        model(inputs, training=False)
    except Exception as error:
        if was_built:
            # But for layers that it may never use.
            return
        raise ValueError(
            "The model must be built before `fit`, as it can't be built from shapes "
            f"alone: call it on a batch. Received: model={model.name!r}"
        ) from error


@contextlib.contextmanager
def drop_compiled_programs() -> Iterator[None]:
    """Free afterwards what TensorFlow would keep for ever of graphs traced within.

    It keeps the gradients of `custom_gradient`, and through them all graphs. The
    gradients that were there before stay.
    """
    from tensorflow.python.framework import ops as tf_ops

    # TensorFlow's own, and not public: a change there must not stop a training.
    gradients = getattr(tf_ops.gradient_registry, "_registry", {})
    before = set(gradients)
    try:
        yield
    finally:
        for name in set(gradients) - before:
            if name.startswith("CustomGradient-"):
                del gradients[name]


def proves_sizes() -> bool:
    """Whether what is traced with unknown sizes runs at all sizes, told by their names.

    Two sizes that have to be equal need one name then.
    """
    return False


def check_sizes(
    function: Callable, shapes: list[tuple[int | str, ...]], dtypes: list[str]
) -> None:
    """Raise what `function` raises if it cannot be traced where sizes are unknown.

    What then fails only when it runs is not found.

    Args:
        function: Function of tensors by position, without side effects.
        shapes: The shape of each tensor: sizes, and names of unknown ones.
        dtypes: The dtype of each tensor.
    """
    signature = [
        tf.TensorSpec([None if isinstance(x, str) else x for x in shape], dtype)
        for shape, dtype in zip(shapes, dtypes, strict=True)
    ]
    traced = tf.function(function, input_signature=signature, autograph=False)
    traced.get_concrete_function()


def saved_model_options(shapes: Any) -> dict:
    """Keyword arguments for Keras's SavedModel export of an endpoint: none are needed.

    Args:
        shapes: Shapes of the endpoint's arguments, in its structure, as strings: a name
            for each unknown size, the same name for the same size.
    """
    del shapes
    return {}


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
    first = inputs.shape[: len(x.shape)]
    if x.shape.is_fully_defined() and first.is_fully_defined():
        return x
    found, wanted = tf.shape(x), tf.shape(inputs)[: len(x.shape)]
    check = tf.debugging.assert_equal(
        found, wanted, f"`{name}` must have the first sizes of the inputs."
    )
    with tf.control_dependencies([check]):
        return tf.identity(x)


def exact_product(x: Tensor, y: Tensor) -> Tensor:
    """The matrix product, in the whole precision of its dtype on every device."""
    if has_accelerator():
        # A GPU would round the factors.
        return tf.reduce_sum(x[..., None] * y[..., None, :, :], axis=-2)
    return x @ y


def row_pieces(arrays: Sequence[Tensor]) -> list[slice]:
    """Rows of a batch that are computed at a time, one piece after another.

    Args:
        arrays: Tensors, one of them as large as those that are made on the way.
    """
    # What is compiled is not made faster by it.
    del arrays
    return [slice(None)]
