"""Other sizes for the states of a model that is in use."""

import contextlib

import keras
import numpy as np

from keras_lru.layers import LRUBlock, LRUCell, S5Cell
from keras_lru.models.backbone import LRUBackbone


def adopt(model, smaller):
    """Gives a model the sizes and weights of its recurrences in another one.

    Args:
        model: Built. Its layers stay the objects that they are; the weights of
            recurrences that change are new ones.
        smaller: The same model with other numbers of states, as `resized` makes it.
    """
    for layer, other in zip(
        model._flatten_layers(), smaller._flatten_layers(), strict=True
    ):
        if isinstance(layer, LRUCell | S5Cell):
            if layer.num_states != other.num_states:
                _adopt_cell(layer, other)
        elif isinstance(layer, LRUBackbone | LRUBlock):
            layer.adopt_sizes(other)


def _adopt_cell(cell, other):
    input_shape = cell.get_build_config()["input_shape"]
    is_trainable = [weight.trainable for weight in cell.weights]
    mine = {id(weight) for weight in cell.weights}
    for name, value in list(vars(cell).items()):
        if id(value) in mine:
            # Not a new value alone: Keras would go on to track the old weight.
            delattr(cell, name)
    cell.num_states = other.num_states
    if isinstance(cell, S5Cell):
        # The initial blocks are gone.
        cell.blocks = 1
    cell.built = False
    cell._tracker.unlock()
    with contextlib.ExitStack() as scopes:
        for part in cell.path.split("/")[:-1]:
            scopes.enter_context(keras.name_scope(part))
        cell.build(input_shape)
    cell.set_weights(other.get_weights())
    for weight, trainable in zip(cell.weights, is_trainable, strict=True):
        weight.trainable = trainable


def renew_training(model):
    """Lets a compiled model go on to train after some of its weights are new ones.

    What its optimizer remembers of these starts from the means of what it remembered,
    and from the weights themselves where it averages weights.
    """
    _renew(model.optimizer, model.trainable_variables)
    model.test_function = model.predict_function = None
    model.make_train_function(force=True)


def check_optimizer(optimizer):
    """Raise `ValueError` for one that `renew_training` cannot let go on."""
    if isinstance(_innermost(optimizer), keras.optimizers.Ftrl):
        raise ValueError(
            "The optimizer must remember weights by themselves. Received: Ftrl, which "
            "computes them from its own sums"
        )


def _renew(optimizer, variables):
    new = type(optimizer).from_config(optimizer.get_config())
    new.build(variables)
    averages = getattr(_innermost(new), "_model_variables_moving_average", ())
    averaged = {id(x): v for x, v in zip(averages, variables, strict=False)}
    for old, copy in zip(optimizer.variables, new.variables, strict=True):
        value = keras.ops.convert_to_numpy(old)
        if value.shape == tuple(copy.shape):
            copy.assign(value)
        elif id(copy) in averaged:
            # A copy: JAX gives away what the step of training reads.
            copy.assign(keras.ops.convert_to_numpy(averaged[id(copy)]))
        else:
            copy.assign(np.full(copy.shape, value.mean(), value.dtype))
    _take_over(optimizer, new)


def _take_over(optimizer, new):
    """Makes an optimizer what `new` is: who holds it, and what it excludes, stays."""
    own, inner = vars(optimizer), getattr(optimizer, "inner_optimizer", None)
    excluded = {
        name: own[name]
        for name in ("_exclude_from_weight_decay", "_exclude_from_weight_decay_pattern")
        if name in own
    }
    own.pop("_exclude_from_weight_decay_cache", None)
    if inner is not None:
        _take_over(inner, new.inner_optimizer)
    own.update(vars(new) | excluded)
    if inner is not None:
        own["inner_optimizer"] = inner


def _innermost(optimizer):
    """The optimizer that a `LossScaleOptimizer` wraps, or the optimizer itself."""
    return getattr(optimizer, "inner_optimizer", optimizer)
