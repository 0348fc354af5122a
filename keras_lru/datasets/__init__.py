"""Datasets of the Long Range Arena and the copy memory task, for TFDS.

Importing this package registers them: `tfds.load("lra_listops")` then works, and so
do `"lra_aan"`, `"lra_pathfinder"` and `"copy_memory"`. `load` gives batches of the
benchmark's tasks.
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
from keras_lru.datasets.pipelines import load
from keras_lru.datasets.prepared import num_examples
from keras_lru.tasks import TASKS, Task, get_task

__all__ = [
    "TASKS",
    "CopyMemory",
    "CopyMemoryConfig",
    "ListOpsConfig",
    "LraAan",
    "LraListops",
    "LraPathfinder",
    "PathfinderConfig",
    "Task",
    "get_task",
    "load",
    "num_examples",
]
