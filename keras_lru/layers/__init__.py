"""Keras layers."""

from keras_lru.layers.dense_rnn import DenseRNN
from keras_lru.layers.dense_rnn_cell import DenseRNNCell
from keras_lru.layers.lru import LRU
from keras_lru.layers.lru_cell import LRUCell
from keras_lru.layers.residual_block import ResidualBlock
from keras_lru.layers.rg_lru import RGLRU
from keras_lru.layers.rg_lru_cell import RGLRUCell
from keras_lru.layers.s4d import S4D
from keras_lru.layers.s4d_cell import S4DCell
from keras_lru.layers.s5 import S5
from keras_lru.layers.s5_cell import S5Cell

__all__ = [
    "LRU",
    "RGLRU",
    "S4D",
    "S5",
    "DenseRNN",
    "DenseRNNCell",
    "LRUCell",
    "RGLRUCell",
    "ResidualBlock",
    "S4DCell",
    "S5Cell",
]
