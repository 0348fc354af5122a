"""Pathfinder images: do two discs lie on the ends of one dashed curve?

The parts that compute images import neither Keras nor TensorFlow: worker processes
start with them alone. The TFDS builder is in `builder.py`.
"""

from keras_lru.datasets.pathfinder.example import draw_example, draw_examples
from keras_lru.datasets.pathfinder.spec import PathfinderSpec, pathfinder_spec

__all__ = ["PathfinderSpec", "draw_example", "draw_examples", "pathfinder_spec"]
