"""How the tests differentiate, on every backend: only this takes gradients."""

import keras
from keras import ops, tree


def gradients(function, *arguments):
    """Gradients of a function that returns one number.

    Args:
        function: Function of `arguments`.
        *arguments: Tensors, arrays, or structures of them.

    Returns:
        A list, a structure of tensors for each argument; zeros where `function` does
        not depend on it. It can be differentiated again.
    """
    return pull_back(lambda *args: [function(*args)], arguments, [1.0])[1]


def pull_back(function, arguments, cotangents):
    """Values of a function, and the gradients of their sum weighted by `cotangents`.

    Args:
        function: Function of `arguments` that returns a list of tensors.
        arguments: Sequence of tensors, arrays, or structures of them.
        cotangents: Sequence of numbers or arrays like the values.

    Returns:
        The list of values, and a list, a structure for each argument.
    """
    arguments = tree.map_structure(ops.convert_to_tensor, list(arguments))
    return _PULL_BACK[keras.backend.backend()](function, arguments, cotangents)


def _like(cotangents, values):
    return [
        ops.broadcast_to(ops.cast(c, v.dtype), ops.shape(v))
        for c, v in zip(cotangents, values, strict=True)
    ]


def _jax(function, arguments, cotangents):
    import jax

    values, pull = jax.vjp(lambda *args: list(function(*args)), *arguments)
    return values, list(pull(_like(cotangents, values)))


def _tensorflow(function, arguments, cotangents):
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(arguments)
        values = list(function(*arguments))
    zero = tf.UnconnectedGradients.ZERO
    return values, tape.gradient(values, arguments, _like(cotangents, values), zero)


def _torch(function, arguments, cotangents):
    import torch

    def leaf(x):
        # A leaf of its own; what is differentiated already stays in its graph.
        if not x.is_floating_point() or x.requires_grad:
            return x
        return x.detach().requires_grad_()

    flat = list(map(leaf, tree.flatten(arguments)))
    values = list(function(*tree.pack_sequence_as(arguments, flat)))
    pairs = zip(values, _like(cotangents, values), strict=True)
    # At no steps nothing depends on anything.
    depending = [(value, like) for value, like in pairs if value.requires_grad]
    found = iter(
        torch.autograd.grad(
            [value for value, _ in depending],
            [x for x in flat if x.requires_grad],
            [like for _, like in depending],
            create_graph=True,
            materialize_grads=True,
        )
    )
    found = [next(found) if x.requires_grad else torch.zeros_like(x) for x in flat]
    return values, tree.pack_sequence_as(arguments, found)


_PULL_BACK = {"jax": _jax, "tensorflow": _tensorflow, "torch": _torch}
