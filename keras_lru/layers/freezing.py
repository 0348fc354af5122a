"""Layers that are frozen with all that is in them."""


def freeze_parts(layer):
    """Freezes what is in a layer that is frozen itself: to be called when it is built.

    Keras freezes parts when `trainable` is set. In a constructor that is too early:
    the parts are not there yet, and files would be loaded half frozen.
    """
    if not layer.trainable:
        # Not by `layer.trainable = False`: TensorFlow skips what is so already.
        for part in layer._flatten_layers(include_self=False):
            part.trainable = False
