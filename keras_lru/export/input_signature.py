"""Shapes and dtypes of a model's inputs, with unknown batch and time."""

import keras
from keras import tree

from keras_lru.backend import saved_model_options


def recorded_signature(model):
    """The arguments of a built model: inputs of any batch size and any length.

    Args:
        model: A `keras.Model`. Axis 1 of each of its inputs is time.

    Returns:
        A list with one structure of `keras.InputSpec`, shapes `(None, None, …)`.

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
    return [tree.map_structure(_spec_without_time, inputs)]


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


def _spec_without_time(x):
    shape = tuple(x.shape)
    return keras.InputSpec(
        shape=(None, None, *shape[2:])[: len(shape)], dtype=x.dtype, name=x.name
    )


def endpoint_options(signature):
    """Keyword arguments with which Keras exports an endpoint of this signature.

    Args:
        signature: A list of structures of `keras.InputSpec`. Unknown sizes of one axis
            are one size: axis 0 is the batch, axis 1 time, axis 2 the features.
    """

    def name_sizes(spec):
        names = ("batch", "time", "features")
        sizes = (
            str(names[axis] if size is None else size)
            for axis, size in enumerate(spec.shape)
        )
        return f"({', '.join(sizes)})"

    return saved_model_options(tree.map_structure(name_sizes, signature))
