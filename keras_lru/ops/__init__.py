"""Recurrences and scans on plain tensors, in `keras.ops`, for every backend."""

from keras_lru.ops.associative_scan import associative_scan
from keras_lru.ops.diagonal_ssm import diagonal_ssm
from keras_lru.ops.linear_recurrence import linear_recurrence

__all__ = ["associative_scan", "diagonal_ssm", "linear_recurrence"]
