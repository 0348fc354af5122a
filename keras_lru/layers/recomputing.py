"""Layers in a `keras.RematScope`: what the gradient needs is computed again."""

import contextlib

import keras
from keras import ops, tree


class Recomputed:
    """Mixin of layers that keep nothing but their inputs in a `keras.RematScope`.

    Keras hands over all arguments of a call as tensors, `training` too, and lets no
    variable change inside: here a flag stays one, and moving statistics and random
    seeds move on. The layers inside recompute nothing of their own.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """The call that recomputes, if the scope of this layer asks for it."""
        wrapped = super().rematerialized_call(layer_call, *args, **kwargs)
        if wrapped is layer_call or self._remat_mode.mode == "activations":
            return wrapped
        return lambda *args, **kwargs: _recomputed(self, layer_call, args, kwargs)


class RecomputedInside:
    """Mixin of what computes nothing again in a `keras.RematScope`.

    Layers that keep little for the gradient; and models, whose layers recompute one by
    one.
    """

    def rematerialized_call(self, layer_call, *args, **kwargs):
        """The call as it is."""
        del args, kwargs
        return layer_call


def _recomputed(layer, call, args, kwargs):
    flat = tree.flatten((args, kwargs))
    floating = [x for x in flat if _is_floating(x)]
    variables = layer.variables
    changing = [v for v in variables if not v.trainable]
    # Copies: on PyTorch a variable's new value is written over its old one.
    values = [
        ops.convert_to_tensor(v) if v.trainable else ops.copy(v) for v in variables
    ]

    def run(differentiable, floating):
        given, weights = iter(floating), iter(differentiable)
        whole = [next(given) if _is_floating(x) else x for x in flat]
        args_, kwargs_ = tree.pack_sequence_as((args, kwargs), whole)
        mapping = [
            (variable, next(weights) if _is_floating(value) else value)
            for variable, value in zip(variables, values, strict=True)
        ]
        scope = keras.StatelessScope(mapping, collect_losses=True)
        with scope, without_recomputing(layer):
            outputs = call(*args_, **kwargs_)
        # Those that were not assigned are as they were given.
        changed = map(scope.get_current_value, changing)
        losses = list(scope.losses)
        return outputs, [ops.convert_to_tensor(value) for value in changed], losses

    differentiable = [x for x in values if _is_floating(x)]
    outputs, changed, losses = keras.remat(run)(differentiable, floating)
    for variable, value in zip(changing, changed, strict=True):
        variable.assign(value)
    for loss in losses:
        layer.add_loss(loss)
    return outputs


def _is_floating(x):
    """Whether it is a tensor with a gradient; others are constants to `keras.remat`."""
    return ops.is_tensor(x) and keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(x.dtype)
    )


@contextlib.contextmanager
def without_recomputing(layer):
    """Inside, no layer in `layer` recomputes by itself."""
    inner = list(layer._flatten_layers(include_self=False))
    modes = [x._remat_mode for x in inner]
    for x in inner:
        x._remat_mode = None
    try:
        yield
    finally:
        for x, mode in zip(inner, modes, strict=True):
            x._remat_mode = mode
