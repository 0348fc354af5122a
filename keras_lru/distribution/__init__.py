"""Sequences that are split over several devices."""

from keras_lru.distribution.sequence_parallel import sequence_parallel

__all__ = ["sequence_parallel"]
