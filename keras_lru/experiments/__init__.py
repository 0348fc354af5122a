"""The paper's experiments: models, and how to train them, by task."""

from keras_lru.experiments.optimizer import make_optimizer
from keras_lru.experiments.presets import Preset, get_preset
from keras_lru.experiments.recurrences import (
    make_recurrence,
    settings_of_recurrence,
)

__all__ = [
    "Preset",
    "get_preset",
    "make_optimizer",
    "make_recurrence",
    "settings_of_recurrence",
]
