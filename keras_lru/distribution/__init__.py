"""Sequences and weights that are split over several devices."""

from keras_lru.distribution.layout_map import layout_map
from keras_lru.distribution.sequence_parallel import sequence_parallel

__all__ = ["layout_map", "sequence_parallel"]
