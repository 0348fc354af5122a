"""What a model's recurrence reads of a trial's settings, and a copy with others."""

from collections.abc import Mapping

import keras

from keras_lru.layers.serialization import serialize_unbuilt
from keras_lru.tuner.ring import RING

# What Keras's wrappers keep the layers or cells in, whose sizes are the wrapper's.
_WRAPPED = ("layer", "backward_layer", "cell", "cells")
_SIZES = ("units", "state_size")


def find_template(arguments):
    """The recurrence that the arguments of a model put in place of the LRU.

    Args:
        arguments: Arguments of a model.

    Returns:
        The serialized form of the `recurrence` among them, or `None` if there is none
        or it is not a layer.
    """
    recurrence = arguments.get("recurrence")
    if isinstance(recurrence, keras.layers.Layer):
        return serialize_unbuilt(recurrence)
    return dict(recurrence) if isinstance(recurrence, Mapping) else None


def settings_of_template(template):
    """The ring and the sizes of a recurrence, wrapped or not.

    Args:
        template: The serialized form of a layer.

    Returns:
        A dictionary of those of `r_min`, `r_max`, `max_phase`, `units` and
        `state_size` that the layer has.
    """
    found = {}

    def keep(name, value):
        found.setdefault(name, value)
        return value

    _change(template, keep)
    return found


def with_settings(template, settings):
    """A copy of a recurrence with another ring and other sizes.

    Args:
        template: The serialized form of a layer.
        settings: A dictionary. What the layer does not have is not read.

    Returns:
        The serialized form of the copy.
    """
    return _change(template, lambda name, value: settings.get(name, value))


def _change(part, change, has_sizes=True):
    """Copies a part of a serialized layer; `change` maps a setting to another value."""
    if isinstance(part, list | tuple):
        return type(part)(_change(item, change, has_sizes) for item in part)
    if not isinstance(part, Mapping):
        return part
    config = part.get("config")
    if "class_name" not in part or not isinstance(config, Mapping):
        return {name: _change(value, change, False) for name, value in part.items()}
    config = {
        name: _change(value, change, has_sizes and name in _WRAPPED)
        for name, value in config.items()
    }
    names = set(RING) if set(RING) <= set(config) else set()
    if has_sizes:
        names |= set(_SIZES) & set(config)
    return {**part, "config": config | {n: change(n, config[n]) for n in names}}
