"""Where eigenvalues start: on the LRU's ring, or from HiPPO with timescales."""

from keras_lru.initializers.hippo import ContinuousEigenvalues, LogTimescale
from keras_lru.initializers.ring import Gamma, RingMagnitude, RingPhase

__all__ = [
    "ContinuousEigenvalues",
    "Gamma",
    "LogTimescale",
    "RingMagnitude",
    "RingPhase",
]
