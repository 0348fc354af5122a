"""The same layer or model, with other state sizes."""

import keras

from keras_lru.compress.cells import find_cells, state_size_argument
from keras_lru.layers import (
    LRU,
    S5,
    LRUBlock,
    LRUCell,
    ResidualBlock,
    S5Cell,
)
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.backbone_model import BackboneModel

_CELLS = (LRUCell, S5Cell)
_RESIZABLE = (
    *(LRU, S5, LRUBlock, ResidualBlock, LRUBackbone, BackboneModel),
    keras.layers.Bidirectional,
)


def with_one_size(layer):
    """Lists of the paths of cells that the config of `layer` gives one size."""
    if isinstance(layer, BackboneModel):
        return with_one_size(layer.backbone)
    if isinstance(layer, keras.layers.Bidirectional):
        parts = layer.forward_layer, layer.backward_layer
        return [list(find_cells(part)) for part in parts]
    if isinstance(layer, LRUBackbone) and layer.get_config()["recurrence"] is None:
        return [list(find_cells(block)) for block in layer.blocks]
    if _is_of_layers(layer):
        return [group for inner in layer.layers for group in with_one_size(inner)]
    return [list(find_cells(layer))]


def _is_of_layers(layer):
    """Whether it is a `Sequential` or functional model, whose layers are cloned."""
    is_functional = isinstance(layer, keras.Model) and hasattr(layer, "operations")
    return is_functional or isinstance(layer, keras.Sequential)


def check_resizable(layer):
    """Raise `ValueError` if `resized` would: with no layer built, in no time."""
    if not isinstance(layer, keras.layers.Layer) or not find_cells(layer):
        return
    if _is_of_layers(layer):
        for inner in layer.layers:
            check_resizable(inner)
        return
    of_cell = isinstance(layer, keras.layers.RNN) and isinstance(layer.cell, _CELLS)
    if not of_cell and not isinstance(layer, _RESIZABLE):
        raise ValueError(
            "`model` must be an LRU or an S5, or made of them by layers and models of "
            "this package, Sequential or functional. Received: "
            f"{type(layer).__name__} {layer.name!r}, which holds "
            f"{next(iter(find_cells(layer)))!r}"
        )


def resized(layer, sizes):
    """A new layer or model of the same kind, built, with the weights that it has.

    Args:
        layer: Built.
        sizes: `{path of a cell: states}`; those of one group are equal.

    Returns:
        The layer, whose cells have the weights that they were initialized with.

    Raises:
        ValueError: If the config of a layer does not say how many states there are.
    """
    if not isinstance(layer, keras.layers.Layer):
        # An operation of a functional model.
        return layer
    if _is_of_layers(layer):
        inputs = None if isinstance(layer, keras.Sequential) else _same_inputs(layer)
        return keras.models.clone_model(
            layer, inputs, clone_function=lambda inner: resized(inner, sizes)
        )
    check_resizable(layer)
    config = layer.get_config()
    _resize(layer, config, sizes)
    new = type(layer).from_config(config)
    if layer.built:
        new.build_from_config(layer.get_build_config())
    return new


def _same_inputs(model):
    """New inputs of a functional model, of the same names, which exports have too."""
    names = {
        id(layer.output): layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.InputLayer)
    }
    return keras.tree.map_structure(
        lambda x: keras.Input(
            batch_shape=x.shape, dtype=x.dtype, name=names.get(id(x), x.name)
        ),
        model.input,
    )


def _resize(layer, config, sizes):
    cells = find_cells(layer)
    if not cells:
        return
    path, cell = next(iter(cells.items()))
    if isinstance(layer, BackboneModel):
        backbone = layer.backbone.get_config()
        _resize(layer.backbone, backbone, sizes)
        config["backbone"] = {**config["backbone"], "config": backbone}
    elif isinstance(layer, LRUBackbone) and config["recurrence"] is None:
        groups = with_one_size(layer)
        config["state_size"] = [sizes[group[0]] for group in groups]
    elif isinstance(layer, LRUBackbone | ResidualBlock):
        config["recurrence"] = _with_size(config["recurrence"], cell, sizes[path])
    elif isinstance(layer, LRU | S5 | LRUBlock):
        config.update(_with_size({"config": config}, cell, sizes[path])["config"])
    elif isinstance(layer, keras.layers.Bidirectional):
        parts = {"layer": layer.forward_layer, "backward_layer": layer.backward_layer}
        for part, inner in parts.items():
            for path, cell in find_cells(inner).items():
                config[part] = _with_size(config[part], cell, sizes[path])
    elif isinstance(layer, keras.layers.RNN):
        config["cell"] = _with_size(config["cell"], cell, sizes[path])


def _with_size(serialized, cell, size):
    """The serialized layer, of `size` complex states."""
    config = {**serialized["config"], "state_size": state_size_argument(cell, size)}
    if "blocks" in config:
        # The initial blocks are gone.
        config["blocks"] = 1
    return {**serialized, "config": config}
