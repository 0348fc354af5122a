"""Whole models: a stack of residual blocks, heads for usual tasks, and presets."""

from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.classifier import SequenceClassifier
from keras_lru.models.pair_classifier import PairClassifier
from keras_lru.models.presets import Preset, get_preset
from keras_lru.models.regressor import SequenceRegressor

__all__ = [
    "LRUBackbone",
    "PairClassifier",
    "Preset",
    "SequenceClassifier",
    "SequenceRegressor",
    "get_preset",
]
