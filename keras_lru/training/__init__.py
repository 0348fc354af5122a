"""Optimizers and learning rate schedules for models with linear recurrences."""

from keras_lru.training.optimizers import RECURRENT_VARIABLES, AdamW
from keras_lru.training.recipes import make_optimizer
from keras_lru.training.schedules import warmup_cosine

__all__ = ["RECURRENT_VARIABLES", "AdamW", "make_optimizer", "warmup_cosine"]
