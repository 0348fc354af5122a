"""Whole models: a stack of residual blocks, and the heads for usual tasks."""

from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.classifier import SequenceClassifier
from keras_lru.models.pair_classifier import PairClassifier
from keras_lru.models.regressor import SequenceRegressor

__all__ = [
    "LRUBackbone",
    "PairClassifier",
    "SequenceClassifier",
    "SequenceRegressor",
]
