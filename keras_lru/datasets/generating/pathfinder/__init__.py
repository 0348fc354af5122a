"""Pathfinder images: do two discs lie on the ends of one dashed curve?"""

from keras_lru.datasets.generating.pathfinder.example import draw_example, draw_examples
from keras_lru.datasets.generating.pathfinder.spec import (
    PathfinderSpec,
    pathfinder_spec,
)

__all__ = ["PathfinderSpec", "draw_example", "draw_examples", "pathfinder_spec"]
