"""Datasets of the Long Range Arena and the copy memory task, for TFDS.

Importing this package registers them: `tfds.load("lra_listops")` then works, and so
do `"lra_aan"`, `"lra_pathfinder"` and `"copy_memory"`.
"""

try:
    import tensorflow_datasets  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_lru.datasets needs TensorFlow Datasets: "
        'pip install "keras-lru[datasets]"'
    ) from error

from keras_lru.datasets.aan import LraAan
from keras_lru.datasets.copy_memory import CopyMemory, CopyMemoryConfig
from keras_lru.datasets.listops import ListOpsConfig, LraListops
from keras_lru.datasets.pathfinder.builder import LraPathfinder, PathfinderConfig

__all__ = [
    "CopyMemory",
    "CopyMemoryConfig",
    "ListOpsConfig",
    "LraAan",
    "LraListops",
    "LraPathfinder",
    "PathfinderConfig",
]
