"""Look up an activation by its name, and apply it."""

import keras

from keras_lru.backend import gelu


def get_activation(name, activation):
    """The function that an argument `name` asks for: `ValueError` if there is none."""
    try:
        return keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`{name}` must be the name of an activation of Keras, or a function. "
            f"Received: {name}={activation!r}"
        ) from error


def activate(activation, x):
    """`activation(x)`; of the exact GELU a form that all formats of exports have."""
    return gelu(x) if activation is keras.activations.gelu else activation(x)
