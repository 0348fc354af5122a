"""Keras layers."""

from keras_lru.layers.bidirectional import Bidirectional
from keras_lru.layers.dense_rnn import DenseRNN, DenseRNNCell
from keras_lru.layers.lru import LRU, LRUCell
from keras_lru.layers.lru_block import LRUBlock
from keras_lru.layers.residual_block import ResidualBlock
from keras_lru.layers.rg_lru import RGLRU, RGLRUCell
from keras_lru.layers.s4d import S4D, S4DCell
from keras_lru.layers.s5 import S5, S5Cell

__all__ = [
    "LRU",
    "RGLRU",
    "S4D",
    "S5",
    "Bidirectional",
    "DenseRNN",
    "DenseRNNCell",
    "LRUBlock",
    "LRUCell",
    "RGLRUCell",
    "ResidualBlock",
    "S4DCell",
    "S5Cell",
]
