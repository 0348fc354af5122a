"""Checks of dtypes."""

import keras

from keras_lru.backend.types import Tensor


def check_floating(name: str, tensor: Tensor) -> None:
    """Raise `ValueError` unless `tensor` has a real floating dtype."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(f"`{name}` must be floating. Received: dtype={dtype}")
