from .building import (
    CopyMemory,
    CopyMemoryConfig,
    ListOpsConfig,
    LraAan,
    LraListops,
    LraPathfinder,
    PathfinderConfig,
)
from .packing import PackedSequences, pack
from .reading import load, num_examples
from .tasks import TASKS, Task, get_task

__all__ = [
    "TASKS",
    "CopyMemory",
    "CopyMemoryConfig",
    "ListOpsConfig",
    "LraAan",
    "LraListops",
    "LraPathfinder",
    "PackedSequences",
    "PathfinderConfig",
    "Task",
    "get_task",
    "load",
    "num_examples",
    "pack",
]
