"""Where eigenvalues start: on a ring, over all memories, or from HiPPO."""

from keras_lru.initializers.hippo import ContinuousEigenvalues, LogTimescale
from keras_lru.initializers.log_uniform import LogUniform
from keras_lru.initializers.memory import ring_from_memory
from keras_lru.initializers.ring import Gamma, RingMagnitude, RingPhase

__all__ = [
    "ContinuousEigenvalues",
    "Gamma",
    "LogTimescale",
    "LogUniform",
    "RingMagnitude",
    "RingPhase",
    "ring_from_memory",
]
