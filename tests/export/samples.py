"""Small models, their inputs, and how they are built."""

import keras
import numpy as np

SIZES = {"depth": 1, "units": 6, "state_size": 5}
TOKENS = {"vocabulary_size": 7, "mask_zero": True}


def features(batch, length, seed=0):
    x = np.random.default_rng(seed).normal(size=(batch, length, 3))
    x[:, 1::4] = 0.0
    return x.astype("float32")


def tokens(batch, length, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 7, (batch, length)).astype("int32")


def pairs(batch, length):
    return [tokens(batch, length, 1), tokens(batch, length, 2)]


def both_features(batch, length):
    return [features(batch, length, 1), features(batch, length, 2)]


def in_time(batch, length):
    """Features, sizes of their steps, and where sequences begin."""
    rng = np.random.default_rng(0)
    sizes = rng.uniform(0.3, 3.0, (batch, length)).astype("float32")
    return [features(batch, length), sizes, rng.random((batch, length, 1)) < 0.3]


def built(model, make_inputs):
    """The model, built on 5 steps. That costs less than a call."""
    if not model.built:
        model.build(keras.tree.map_structure(np.shape, make_inputs(2, 5)))
    return model
