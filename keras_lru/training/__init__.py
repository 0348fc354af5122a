"""Optimizers, learning rate schedules and callbacks for linear recurrences."""

from keras_lru.deprecation import moved_names
from keras_lru.training.callbacks import TrainingCheckpoint
from keras_lru.training.distribution import data_parallel
from keras_lru.training.online import OnlineLearner
from keras_lru.training.optimizers import RECURRENT_VARIABLES, AdamW
from keras_lru.training.processes import Processes, join_processes
from keras_lru.training.recommended import compile_recommended
from keras_lru.training.schedules import warmup_cosine

__all__ = [
    "RECURRENT_VARIABLES",
    "AdamW",
    "OnlineLearner",
    "Processes",
    "TrainingCheckpoint",
    "compile_recommended",
    "data_parallel",
    "join_processes",
    "warmup_cosine",
]

__getattr__ = moved_names(__name__, {"make_optimizer": "keras_lru.experiments"})
