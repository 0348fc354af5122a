"""Smaller models of trained ones."""

from keras_lru.compress.reduction import Reduced, ReducedLayer, reduce_states

__all__ = ["Reduced", "ReducedLayer", "reduce_states"]
