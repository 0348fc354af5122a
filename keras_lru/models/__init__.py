"""Whole models: a stack of residual blocks, and heads for usual tasks."""

from keras_lru.deprecation import moved_names
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.classifier import SequenceClassifier
from keras_lru.models.forecaster import SequenceForecaster, seasonal_naive
from keras_lru.models.language_model import LanguageModel
from keras_lru.models.pair_classifier import PairClassifier
from keras_lru.models.regressor import SequenceRegressor

__all__ = [
    "LRUBackbone",
    "LanguageModel",
    "PairClassifier",
    "SequenceClassifier",
    "SequenceForecaster",
    "SequenceRegressor",
    "seasonal_naive",
]

__getattr__ = moved_names(
    __name__, dict.fromkeys(("Preset", "get_preset"), "keras_lru.experiments")
)
