"""TFDS builders, of generated examples and of files that the user has fetched.

Importing this registers them with TFDS.
"""

from keras_lru.datasets import needs_tfds  # noqa: F401
from keras_lru.datasets.building.aan import LraAan
from keras_lru.datasets.building.copy_memory import CopyMemory, CopyMemoryConfig
from keras_lru.datasets.building.listops import ListOpsConfig, LraListops
from keras_lru.datasets.building.pathfinder import LraPathfinder, PathfinderConfig

__all__ = [
    "CopyMemory",
    "CopyMemoryConfig",
    "ListOpsConfig",
    "LraAan",
    "LraListops",
    "LraPathfinder",
    "PathfinderConfig",
]
