"""Optimizers, learning rate schedules and callbacks for linear recurrences."""

from keras_lru.training.callbacks import TrainingCheckpoint
from keras_lru.training.distribution import data_parallel
from keras_lru.training.optimizers import RECURRENT_VARIABLES, AdamW
from keras_lru.training.recipes import make_optimizer
from keras_lru.training.schedules import warmup_cosine

__all__ = [
    "RECURRENT_VARIABLES",
    "AdamW",
    "TrainingCheckpoint",
    "data_parallel",
    "make_optimizer",
    "warmup_cosine",
]
