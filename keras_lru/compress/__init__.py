"""Smaller models of trained ones."""

from keras_lru.compress.callback import ReduceStates
from keras_lru.compress.reduction import Reduced, ReducedLayer, reduce_states

__all__ = ["ReduceStates", "Reduced", "ReducedLayer", "reduce_states"]
