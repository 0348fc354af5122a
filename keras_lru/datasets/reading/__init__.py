"""From a dataset that TFDS has prepared to batches that `model.fit` reads."""

from keras_lru.datasets import needs_tfds  # noqa: F401
from keras_lru.datasets.reading.loading import load
from keras_lru.datasets.reading.prepared_builder import num_examples

__all__ = ["load", "num_examples"]
