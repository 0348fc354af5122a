"""Shapes and dtypes of a model's inputs, and which of their sizes are unknown."""

import keras
from keras import tree

from keras_lru.backend import saved_model_options
from keras_lru.export.layer_names import named_layers
from keras_lru.export.unknown_sizes import free_and_name_sizes


def served_inputs(model, signature=None):
    """The inputs that an exported model takes: of any batch size and any length.

    Axis 1 of an input is time if the model takes other sizes there. All other sizes are
    as known as they were: static features and states keep theirs.

    Args:
        model: A built `keras.Model`. If it has a true attribute `inputs_have_time`,
            axis 1 of each input is time.
        signature: List of structures of `keras.InputSpec`, the arguments of the model,
            to be taken as it is. `None` means the inputs that it was built on.

    Returns:
        The signature, and a list with the shape of each input in it: a tuple of sizes,
        and of names for those that are unknown.

    Raises:
        ValueError: If the model has not been built, or cannot be traced with the sizes
            unknown that have to be. The message names the input.
    """
    if signature is not None:
        return free_and_name_sizes(model, signature, free_time=False)
    have_time = getattr(model, "inputs_have_time", False)
    signature = recorded_signature(model)
    if have_time:
        signature = tree.map_structure(_without_time, signature)
    return free_and_name_sizes(model, signature, free_time=not have_time)


def recorded_signature(model):
    """The arguments that a model was built on, of any batch size.

    Args:
        model: A `keras.Model`.

    Returns:
        A list with one structure of `keras.InputSpec`. The batch is unknown, unless
        layers are stateful.

    Raises:
        ValueError: If the model has not been built.
    """
    if not model.built:
        raise ValueError(
            "`model` must have been built: call it on inputs once. Received: "
            f"model={model.name!r}, which has no weights yet"
        )
    if isinstance(model, keras.Sequential):
        inputs = model.inputs[0]
    elif hasattr(model, "inputs"):
        inputs = model.input
    else:
        inputs = _recorded_inputs(model)
    layers = named_layers(model).values()
    stateful = any(getattr(layer, "stateful", False) for layer in layers)

    def spec(x):
        shape = tuple(x.shape)
        if shape and not stateful:
            shape = (None, *shape[1:])
        return keras.InputSpec(shape=shape, dtype=x.dtype, name=x.name)

    return [tree.map_structure(spec, inputs)]


def _recorded_inputs(model):
    """What a subclassed model was built on."""
    config = model.get_build_config() or {}
    shapes = config.get("input_shape")
    if shapes is None:
        raise ValueError(
            "`model` does not tell the shape of its inputs: pass `input_signature`. "
            f"Received: model={model.name!r}, built on {config}"
        )

    def convert(shape):
        if isinstance(shape, dict):
            return {key: convert(value) for key, value in shape.items()}
        if any(isinstance(size, dict | list | tuple) for size in shape):
            # A plain structure: Keras's own lists and tuples are none to JAX.
            plain = list if isinstance(shape, list) else tuple
            return plain(convert(value) for value in shape)
        return keras.KerasTensor(shape, dtype=model.input_dtype, name="inputs")

    return convert(shapes)


def _without_time(spec):
    shape = (*spec.shape[:1], None, *spec.shape[2:])
    return keras.InputSpec(shape=shape, dtype=spec.dtype, name=spec.name)


def endpoint_options(signature, shapes):
    """Keyword arguments with which Keras exports an endpoint of this signature.

    Args:
        signature: A list of structures of `keras.InputSpec`.
        shapes: The shape of each input in it: a tuple of sizes, and of names for those
            that are unknown, the same name for the same size.
    """
    texts = [f"({', '.join(map(str, shape))})" for shape in shapes]
    return saved_model_options(tree.pack_sequence_as(signature, texts))
