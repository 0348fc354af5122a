"""What is trained: each with two layers of 64 features, or two blocks."""

import math
from collections.abc import Callable

import keras

from keras_lru import (
    LRU,
    LanguageModel,
    LRUBlock,
    SequenceClassifier,
    SequenceForecaster,
)
from keras_lru.training import compile_recommended

_DEPTH = 2
_UNITS = 64


def _objective(task):
    if task.kind == "forecast":
        return "mean_absolute_error", ["mean_absolute_error"]
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return loss, ["accuracy"]


def _inputs(task):
    """Symbolic inputs, and the mask among them or `None`."""
    x, _, mask = task.train
    inputs = [keras.Input(x.shape[1:], dtype=str(x.dtype))]
    if mask is not None:
        inputs.append(keras.Input(mask.shape[1:], dtype="bool"))
    return inputs, None if mask is None else inputs[1]


def _model(inputs, outputs):
    # Of one input no list: Keras warns of the difference.
    return keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs)


def _answers(task, outputs):
    return outputs if task.answer_steps is None else outputs[:, -task.answer_steps :]


def _stacked(make_layer):
    """A stack of recurrent layers, where each of a tutorial's models has its LSTMs."""

    def build(task, seed):
        del seed
        inputs, mask = _inputs(task)
        x = inputs[0]
        if task.vocabulary_size is not None:
            x = keras.layers.Embedding(
                task.vocabulary_size, _UNITS, mask_zero=task.mask_zero
            )(x)
        for index in range(_DEPTH):
            is_last = index == _DEPTH - 1
            every_step = not is_last or task.kind == "tokens"
            layer = make_layer(task, every_step)
            x = layer(x) if mask is None else layer(x, mask=mask)
        x = keras.layers.Dense(task.outputs)(x)
        if task.kind == "forecast":
            x = keras.layers.Reshape((task.outputs, 1))(x)
        return _model(inputs, _answers(task, x))

    return build


def _layer(layer_class):
    def make(task, return_sequences):
        del task
        return layer_class(_UNITS, return_sequences=return_sequences)

    return make


def _block(task, return_sequences):
    pooling = "last" if task.kind == "forecast" else "mean"
    return LRUBlock(_UNITS, return_sequences=return_sequences, pooling=pooling)


def _with_adam(build):
    def make(task, seed):
        model = build(task, seed)
        loss, metrics = _objective(task)
        model.compile("adam", loss, metrics=metrics)
        return model

    return make


def _recommended(build):
    def make(task, seed):
        model = build(task, seed)
        loss, metrics = _objective(task)
        return compile_recommended(model, task.total_steps, loss, metrics)

    return make


def _whole_model(learning_rate=0.005, pooling="mean", optimizer=None, **settings):
    """The model class of a task, its defaults but for the size and what is given."""

    def compiled(model, task):
        loss, metrics = _objective(task)
        if optimizer is None:
            return compile_recommended(
                model, task.total_steps, loss, metrics, learning_rate=learning_rate
            )
        model.compile(optimizer, loss, metrics=metrics)
        return model

    def make(task, seed):
        sizes = {"depth": _DEPTH, "units": _UNITS, "state_size": _UNITS, "seed": seed}
        sizes |= settings
        if task.kind == "forecast":
            model = SequenceForecaster(task.outputs, **sizes)
            model.adapt(task.series)
            return compiled(model, task)
        if task.kind == "tokens":
            core = LanguageModel(task.outputs, **sizes)
        else:
            tokens = {
                "vocabulary_size": task.vocabulary_size,
                "mask_zero": task.mask_zero,
            }
            core = SequenceClassifier(task.outputs, **sizes, **tokens, pooling=pooling)
        inputs, mask = _inputs(task)
        outputs = core(inputs[0]) if mask is None else core(inputs[0], mask=mask)
        return compiled(_model(inputs, _answers(task, outputs)), task)

    return make


CANDIDATES: dict[str, Callable] = {
    "LSTM": _with_adam(_stacked(_layer(keras.layers.LSTM))),
    "GRU": _with_adam(_stacked(_layer(keras.layers.GRU))),
    "LSTM, recommended training": _recommended(_stacked(_layer(keras.layers.LSTM))),
    "bare LRU": _with_adam(_stacked(_layer(LRU))),
    "LRUBlock": _recommended(_stacked(_block)),
    "model": _whole_model(),
    "model, ring [0, 1]": _whole_model(initialization="ring"),
    "model, ring [0.9, 0.999]": _whole_model(r_min=0.9, r_max=0.999),
}

SETTINGS: dict[str, Callable] = {
    "model": _whole_model(),
    "learning rate 0.001": _whole_model(learning_rate=0.001),
    "learning rate 0.002": _whole_model(learning_rate=0.002),
    "learning rate 0.01": _whole_model(learning_rate=0.01),
    "learning rate 0.02": _whole_model(learning_rate=0.02),
    "Adam": _whole_model(optimizer="adam"),
    "norm_momentum 0.99": _whole_model(norm_momentum=0.99),
    "norm_momentum 0.9": _whole_model(norm_momentum=0.9),
    "normalization layer": _whole_model(normalization="layer"),
    "normalization None": _whole_model(normalization=None),
    "dropout 0.1": _whole_model(dropout=0.1),
    "dropout 0.3": _whole_model(dropout=0.3),
    "pooling last": _whole_model(pooling="last"),
    "pooling max": _whole_model(pooling="max"),
    "max_phase π/10": _whole_model(r_min=0.9, r_max=0.999, max_phase=math.pi / 10),
    "depth 1": _whole_model(depth=1),
    "depth 4": _whole_model(depth=4),
    "units 32": _whole_model(units=32, state_size=32),
    "units 128": _whole_model(units=128, state_size=128),
}
