"""Models that can be streamed, `{name: (make, make_inputs)}`."""

import keras

from keras_lru import LRU, S4D, S5, LRUBackbone, SequenceClassifier, SequenceRegressor
from keras_lru.layers import LRUCell
from keras_lru.layers.pooling import SequencePooling

from .samples import SIZES, TOKENS, both_features, features, in_time, tokens


def steps_and_last():
    """A mask that reaches all layers; an output for each step, and one for all."""
    x = keras.Input((None,), dtype="int32")
    y = LRUBackbone(**SIZES, **TOKENS)(x)
    each = keras.layers.Dense(2)(y)
    return keras.Model(x, [each, SequencePooling("last", name="pooling")(y)])


def masked_kinds():
    """A mask that reaches recurrent layers of several kinds."""
    return keras.Sequential(
        [
            keras.layers.Masking(),
            keras.layers.LSTM(3, return_sequences=True),
            LRU(4, return_sequences=True, zero_output_for_mask=True),
            keras.layers.Masking(mask_value=-1.0),
            keras.layers.RNN(
                [keras.layers.GRUCell(4), keras.layers.LSTMCell(5)],
                return_sequences=True,
            ),
            keras.layers.SimpleRNN(3, return_sequences=True),
            LRU(4),
        ]
    )


def two_inputs():
    """Two inputs, two outputs, one of them in time, and a state that goes nowhere."""
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    x, *_ = LRU(4, return_sequences=True, return_state=True)(a + b)
    return keras.Model([a, b], {"each": keras.layers.Dense(2)(x), "last": LRU(3)(x)})


def steps_of_any_size():
    """Sizes, restarts and a mask, which all reach layers of two kinds."""
    x, sizes = keras.Input((None, 3), name="x"), keras.Input((None,), name="sizes")
    reset = keras.Input((None, 1), dtype="bool", name="reset")
    time = {"step_sizes": sizes, "reset": reset}
    y = keras.layers.Masking()(x)
    y = S5(4, return_sequences=True, hold="impulse")(y, **time)
    last = LRU(3)(y, **time)
    each = SequenceRegressor(2, **SIZES)(y, **time)
    return keras.Model([x, sizes, reset], {"each": each, "last": last})


def eight_bits():
    """Quantized recurrences and dense layers, whose inputs are in full precision."""
    model = keras.Sequential(
        [
            keras.Input((None, 3)),
            S5(4, return_sequences=True),
            SequenceRegressor(2, **SIZES),
        ]
    )
    alone = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
    model.quantize("int8", config=alone)
    return model


MODELS = {
    "eight bits": (eight_bits, features),
    "steps and last": (steps_and_last, tokens),
    "regressor": (lambda: SequenceRegressor(2, **{**SIZES, "depth": 2}), features),
    "last of tokens": (
        lambda: SequenceClassifier(3, pooling="last", **SIZES, **TOKENS),
        tokens,
    ),
    "masked kinds": (masked_kinds, features),
    "two inputs": (two_inputs, both_features),
    "steps of any size": (steps_of_any_size, in_time),
    "layer norm after": (
        lambda: SequenceRegressor(1, prenorm=False, normalization="layer", **SIZES),
        features,
    ),
    "cells": (
        lambda: keras.Sequential(
            [keras.layers.RNN([LRUCell(4), LRUCell(3)], return_sequences=True)]
        ),
        features,
    ),
    "baselines": (
        lambda: keras.Sequential(
            [
                S5(4, return_sequences=True),
                S4D(4, state_size=6, return_sequences=True),
            ]
        ),
        features,
    ),
}
