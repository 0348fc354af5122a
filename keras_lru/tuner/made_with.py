"""What a search was made with, kept with its trials, and compared when it goes on."""

import json
import os
from collections.abc import Mapping
from pathlib import Path

import keras
import keras_tuner
from keras_tuner.errors import FatalValueError

from keras_lru.layers.serialization import serialize_unbuilt

RECORD = "keras_lru/settings"
_FILE = "keras_lru.json"
# Of what is serialized: different from process to process, or without effect.
_LEFT_OUT = ("module", "registered_name", "shared_object_id")


def describe(settings) -> dict:
    """A dictionary as JSON has it, to be compared with one of another process.

    Args:
        settings: A dictionary of numbers, strings, layers, functions, or structures of
            them. Of other objects their class is kept.
    """
    return json.loads(json.dumps(_plain(settings)))


def check_trial(hp: keras_tuner.HyperParameters, settings: dict):
    """Compares what a trial was made with; keeps `settings` where nothing is kept.

    KerasTuner keeps the hyperparameters of every trial: a fixed one holds the settings.

    Args:
        hp: The trial's hyperparameters.
        settings: What is not searched, as `describe` returns it.

    Raises:
        FatalValueError: If the trial was made with other settings.
    """
    record = hp.Fixed(RECORD, json.dumps(settings, sort_keys=True))
    _compare("This trial was", json.loads(record), settings)


def check_folder(folder, settings: dict):
    """Compares what a search in a folder was made with; keeps `settings` in a new one.

    Args:
        folder: The project's folder.
        settings: How the search trains, as `describe` returns it.

    Raises:
        FatalValueError: If the search was made with other settings.
    """
    path = Path(folder) / _FILE
    if path.exists():
        before = json.loads(path.read_text())
        _compare(f"The search in {folder} was", before, settings)
    else:
        write_whole(path, json.dumps(settings, indent=2))


def write_whole(path, text):
    """Writes a file, or leaves it as it was: never a part of it."""
    # Several processes may write the same.
    new = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        new.write_text(text)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)


def _compare(subject, before, now):
    different = [
        f"{name}: {_shown(name, before)}, now {_shown(name, now)}"
        for name in sorted({*before, *now})
        if before.get(name) != now.get(name)
    ]
    if different:
        raise FatalValueError(
            f"{subject} made with other settings. Set them as they were, or choose "
            f"another folder. Received: {'; '.join(different)}"
        )


def _shown(name, settings):
    return repr(settings[name]) if name in settings else "left out or searched"


def _plain(value):
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, keras.layers.Layer):
        value = serialize_unbuilt(value)
    if isinstance(value, Mapping):
        left_out = _LEFT_OUT if "class_name" in value else ()
        # Layers get numbered names.
        left_out = ("name",) if "trainable" in value else left_out
        kept = value.items()
        return {str(name): _plain(part) for name, part in kept if name not in left_out}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:
        return value.item()
    if hasattr(value, "get_config") and not isinstance(value, type):
        return {type(value).__name__: _plain(value.get_config())}
    return getattr(value, "__qualname__", type(value).__qualname__)
