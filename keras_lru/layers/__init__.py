"""Keras layers."""

from keras_lru.layers.dense_rnn import DenseRNN
from keras_lru.layers.dense_rnn_cell import DenseRNNCell
from keras_lru.layers.lru import LRU
from keras_lru.layers.lru_cell import LRUCell
from keras_lru.layers.residual_block import ResidualBlock
from keras_lru.layers.rg_lru import RGLRU
from keras_lru.layers.rg_lru_cell import RGLRUCell

__all__ = [
    "LRU",
    "RGLRU",
    "DenseRNN",
    "DenseRNNCell",
    "LRUCell",
    "RGLRUCell",
    "ResidualBlock",
]
