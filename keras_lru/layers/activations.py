"""Look up an activation by its name."""

import keras


def get_activation(name, activation):
    """The function that an argument `name` asks for: `ValueError` if there is none."""
    try:
        return keras.activations.get(activation)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"`{name}` must be the name of an activation of Keras, or a function. "
            f"Received: {name}={activation!r}"
        ) from error
