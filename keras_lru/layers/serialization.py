"""Layers in serialized form: without their build, and with other seeds."""

import keras

from keras_lru.initializers.seeds import derive_seed


def reseed(config, seed, *path):
    """Copies a serialized layer with other seeds, its initializers' included.

    Args:
        config: A layer's serialized form, or any part of one.
        seed: Integer from which all seeds are derived. `None` derives each from
            itself, and leaves those alone that are `None`.
        *path: What names the copy: two copies under different names have
            different seeds.

    Returns:
        The config of the copy.
    """
    if isinstance(config, dict):
        return {k: reseed(v, seed, *path, k) for k, v in config.items()}
    if isinstance(config, list | tuple):
        return type(config)(reseed(v, seed, *path, i) for i, v in enumerate(config))
    if path[-1] == "seed" and isinstance(config, int | None):
        return derive_seed(config if seed is None else seed, *path, config)
    return config


def serialize_unbuilt(layer):
    """Serializes a layer as if it had not been built.

    Built again from the usual form, a layer has its weights before it has a parent,
    whose name their paths then lack. Nor does it say that objects are shared: Keras
    tells them by addresses, which new objects have after those that are gone.

    Args:
        layer: A Keras layer.

    Returns:
        The dictionary that `keras.saving.deserialize_keras_object` takes.
    """
    return _without_build(keras.saving.serialize_keras_object(layer))


def _without_build(config):
    if isinstance(config, dict):
        return {
            k: _without_build(v)
            for k, v in config.items()
            if k not in ("build_config", "shared_object_id")
        }
    if isinstance(config, list | tuple):
        return type(config)(_without_build(v) for v in config)
    return config
