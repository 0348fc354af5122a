"""Checks of dtypes."""

import keras


def check_floating(name, tensor):
    """Raise `ValueError` unless `tensor` has a real floating dtype."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    if not keras.backend.is_float_dtype(dtype):
        raise ValueError(f"`{name}` must be floating. Received: dtype={dtype}")
