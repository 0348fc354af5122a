"""Hyperparameter search with KerasTuner, over the ring of the eigenvalues first."""

try:
    import keras_tuner  # noqa: F401
except ImportError as error:
    raise ImportError(
        'keras_lru.tuner needs KerasTuner: pip install "keras-lru[tuner]"'
    ) from error

from keras_lru.tuner.hypermodel import LRUHyperModel
from keras_lru.tuner.repair import repair_search
from keras_lru.tuner.ring import ring_hyperparameters
from keras_lru.tuner.trials import trial_table

__all__ = ["LRUHyperModel", "repair_search", "ring_hyperparameters", "trial_table"]
