"""The ways to solve a recurrence that this backend has."""

from keras_lru.backend import has_recurrence_kernel
from keras_lru.ops.time_invariant import ALGORITHMS

SCANS = [s for s in ALGORITHMS if s != "pallas" or has_recurrence_kernel()]
