"""The Linear Recurrent Unit (Orvieto et al., ICML 2023) for Keras 3."""

from keras_lru import export, initializers, layers, models, ops, training
from keras_lru.layers import LRU, S4D, S5, LRUCell, ResidualBlock
from keras_lru.models import (
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)

__version__ = "0.1.0"

__all__ = [
    "LRU",
    "S4D",
    "S5",
    "LRUBackbone",
    "LRUCell",
    "PairClassifier",
    "ResidualBlock",
    "SequenceClassifier",
    "SequenceRegressor",
    "export",
    "initializers",
    "layers",
    "models",
    "ops",
    "training",
]
