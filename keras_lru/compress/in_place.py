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

    The moments that its optimizer had of these start from their means.
    """
    model.optimizer = _with_variables(model.optimizer, model.trainable_variables)
    model.test_function = model.predict_function = None
    model.make_train_function(force=True)


def _with_variables(optimizer, variables):
    new = type(optimizer).from_config(optimizer.get_config())
    new.build(variables)
    for old, copy in zip(optimizer.variables, new.variables, strict=True):
        value = keras.ops.convert_to_numpy(old)
        if value.shape != tuple(copy.shape):
            value = np.full(copy.shape, value.mean(), value.dtype)
        copy.assign(value)
    return new
