"""Types for annotations."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""A tensor of the backend that runs, or what `keras.ops` makes one of."""
