"""Keras layers."""

from keras_lru.layers.lru import LRU
from keras_lru.layers.lru_cell import LRUCell
from keras_lru.layers.residual_block import ResidualBlock

__all__ = ["LRU", "LRUCell", "ResidualBlock"]
