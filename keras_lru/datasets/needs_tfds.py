"""Imported first where TFDS is needed: says what to install if it is missing."""

try:
    import tensorflow_datasets  # noqa: F401
except ImportError as error:
    raise ImportError(
        "keras_lru.datasets needs TensorFlow Datasets: "
        'pip install "keras-lru[datasets]"'
    ) from error
