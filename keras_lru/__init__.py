"""The Linear Recurrent Unit (Orvieto et al., ICML 2023) for Keras 3."""

from keras_lru import export, initializers, layers, models, ops, training
from keras_lru.layers import (
    LRU,
    RGLRU,
    S4D,
    S5,
    DenseRNN,
    DenseRNNCell,
    LRUCell,
    ResidualBlock,
    RGLRUCell,
    S4DCell,
    S5Cell,
)
from keras_lru.models import (
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)

__version__ = "0.1.0"

__all__ = [
    "LRU",
    "RGLRU",
    "S4D",
    "S5",
    "DenseRNN",
    "DenseRNNCell",
    "LRUBackbone",
    "LRUCell",
    "PairClassifier",
    "RGLRUCell",
    "ResidualBlock",
    "S4DCell",
    "S5Cell",
    "SequenceClassifier",
    "SequenceRegressor",
    "export",
    "initializers",
    "layers",
    "models",
    "ops",
    "training",
]
