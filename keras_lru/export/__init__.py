"""SavedModels that TensorFlow serves alone: whole sequences, and streams."""

from keras_lru.export.saved_model import export_saved_model

__all__ = ["export_saved_model"]
