"""The one module that asks which backend, and which device, runs."""

import contextlib

import keras
from keras import ops


def has_compiled_loops() -> bool:
    """Whether a loop step costs about a microsecond (XLA) and not a kernel launch each.

    On TensorFlow the answer stays `False` under `jit_compile=True`: the choice is made
    while tracing, when it is not known yet who will run the graph.
    """
    return keras.backend.backend() == "jax"


def has_accelerator() -> bool:
    """Whether the default device is a GPU or a TPU."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.default_backend() != "cpu"
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return bool(
            tf.config.list_logical_devices("GPU")
            or tf.config.list_logical_devices("TPU")
        )
    return False


def differentiates_loops() -> bool:
    """Whether the gradient of `loop_over_time` takes memory linear in the length.

    On JAX it does not: the loop carries all states, and each step would keep them.
    """
    return keras.backend.backend() != "jax"


@contextlib.contextmanager
def drop_compiled_programs():
    """Free afterwards what the backend would keep for ever of programs compiled within.

    JAX keeps programs, even those of models that are gone. It drops those compiled
    before with them: what is called again is compiled anew. TensorFlow keeps the
    gradients of `custom_gradient`, and through them all graphs; the gradients that were
    there before stay.
    """
    if keras.backend.backend() == "jax":
        import jax

        try:
            yield
        finally:
            jax.clear_caches()
    elif keras.backend.backend() == "tensorflow":
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
    else:
        yield


def saved_model_options(shapes) -> dict:
    """Keyword arguments for Keras's SavedModel export of an endpoint.

    Args:
        shapes: Shapes of the endpoint's arguments, in its structure, as strings: a name
            for each unknown size, the same name for the same size.

    Returns:
        On JAX: without gradients, that loading a SavedModel would warn of, and with
        the names of unknown sizes, that Keras would all tell apart. Else nothing.
    """
    if keras.backend.backend() != "jax":
        return {}
    return {"jax2tf_kwargs": {"with_gradient": False, "polymorphic_shapes": shapes}}


def static_size(x, axis: int) -> int | None:
    """Size of `x` along `axis` as a Python integer, `None` if unknown while tracing."""
    size = x.shape[axis]
    return size if isinstance(size, int) else None


def pullback(function, x, upstream):
    """Gradient in `x` of the sum of `upstream ⊙ function(x)`."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.vjp(function, x)[1](upstream)[0]

    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
    return tape.gradient(y, x, upstream, tf.UnconnectedGradients.ZERO)


def doubling_loop(cond, body, loop_vars):
    """`while_loop` of at most 31 rounds that every backend differentiates in reverse.

    31 doublings reach past any tensor axis.
    """
    if keras.backend.backend() == "jax":
        # JAX differentiates a loop only where its length is static.
        return ops.fori_loop(
            0,
            31,
            lambda _, loop_vars: ops.cond(
                cond(*loop_vars), lambda: body(*loop_vars), lambda: loop_vars
            ),
            loop_vars,
        )
    return ops.while_loop(cond, body, loop_vars, maximum_iterations=31)


def loop_over_time(step, state, xs, reverse=False):
    """States before each step, and after the last, of `state ← step(state, xs[:, t])`.

    `xs` is `(batch, time, features)`, and so are the states, with features of their
    own. Not to be differentiated.
    """
    if keras.backend.backend() != "jax":
        last, states = ops.scan(
            lambda state, x: (step(state, x), state),
            state,
            ops.swapaxes(xs, 0, 1),
            reverse=reverse,
        )
        return ops.swapaxes(states, 0, 1), last

    from jax import lax

    length = xs.shape[1]

    # Slices of axis 1, which a scan would first have to move to the front.
    def body(i, carry):
        state, states = carry
        t = length - 1 - i if reverse else i
        states = lax.dynamic_update_index_in_dim(states, state, t, axis=1)
        return step(state, lax.dynamic_index_in_dim(xs, t, 1, keepdims=False)), states

    empty = ops.zeros((*xs.shape[:2], state.shape[-1]), dtype=state.dtype)
    last, states = lax.fori_loop(0, length, body, (state, empty))
    return states, last


def is_replicated() -> bool:
    """Whether each of several replicas computes on its own part of the batch.

    So it is under a `tf.distribute` strategy. On JAX every operation sees the whole
    batch, wherever its parts lie.
    """
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def sum_over_replicas(x):
    """The sum of the replicas' `x`, for each of them. Only where `is_replicated()`."""
    import tensorflow as tf

    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, x)


@contextlib.contextmanager
def data_parallel_scope():
    """Scope in which models are made and trained on all devices; yields their number.

    GPUs or TPUs where there are any, else CPU devices.
    """
    if keras.backend.backend() == "jax":
        devices = keras.distribution.list_devices()
        with keras.distribution.DataParallel(devices=devices).scope():
            yield len(devices)
    elif keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        devices = next(
            filter(None, map(tf.config.list_logical_devices, ("GPU", "CPU")))
        )
        strategy = tf.distribute.MirroredStrategy([device.name for device in devices])
        with strategy.scope():
            yield strategy.num_replicas_in_sync
    else:
        raise ValueError(
            "Models train on several devices on the backends 'jax' and 'tensorflow'. "
            f"Received: backend={keras.backend.backend()!r}"
        )
