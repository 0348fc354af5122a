"""Shared fixtures: the suite runs once per backend, chosen by KERAS_BACKEND."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest


@pytest.fixture(autouse=True)
def _reproducible():
    """Same seed, same global dtype policy, no leftover graph, for every test."""
    keras.utils.clear_session()
    keras.utils.set_random_seed(0)
    policy = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def backend():
    return keras.backend.backend()
