"""SavedModels that TensorFlow serves alone, and single steps for other formats."""

from keras_lru.export.saved_model import export_saved_model
from keras_lru.export.single_step import step_model

__all__ = ["export_saved_model", "step_model"]
