from . import experiments, export, initializers, layers, models, ops, training
from .layers import (
    LRU,
    RGLRU,
    S4D,
    S5,
    DenseRNN,
    DenseRNNCell,
    LRUBlock,
    LRUCell,
    ResidualBlock,
    RGLRUCell,
    S4DCell,
    S5Cell,
)
from .models import (
    LanguageModel,
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceForecaster,
    SequenceRegressor,
)

__version__: str

__all__ = [
    "LRU",
    "RGLRU",
    "S4D",
    "S5",
    "DenseRNN",
    "DenseRNNCell",
    "LRUBackbone",
    "LRUBlock",
    "LRUCell",
    "LanguageModel",
    "PairClassifier",
    "RGLRUCell",
    "ResidualBlock",
    "S4DCell",
    "S5Cell",
    "SequenceClassifier",
    "SequenceForecaster",
    "SequenceRegressor",
    "experiments",
    "export",
    "initializers",
    "layers",
    "models",
    "ops",
    "training",
]
