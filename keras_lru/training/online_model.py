"""A model as a function of one step of a stream, and of what came before it."""

import keras
import numpy as np
from keras import ops

from keras_lru.backend import compiled
from keras_lru.export.layer_names import named_layers
from keras_lru.export.model_in_pieces import calls_replaced
from keras_lru.layers import LRUBlock
from keras_lru.layers.diagonal import DiagonalCell
from keras_lru.layers.pooling import SequencePooling
from keras_lru.layers.recurrent import RecurrentLayer
from keras_lru.ops.sensitivities import start_trace, traced_step

# What each layer that has the attribute must have, and why.
_WANTED = {
    "go_backwards": (False, "the end of a stream is not there"),
    "stateful": (False, "the learner keeps the states"),
    "return_state": (False, "the learner keeps the states"),
    "return_sequences": (True, "every step has its output"),
    "mask_zero": (False, "a stream has no padding"),
}
_TRIAL_STEPS = 3


class OnlineModel:
    """A model that takes a stream step by step, with a `Trace` for each recurrence.

    All other layers are called as ever, on sequences of one step.

    Args:
        model: A `keras.Model`, built or not. Axis 1 of its one input is time.

    Raises:
        ValueError: If a layer in it cannot learn online, or none is a recurrence. The
            message names the layer, and what would be right.
    """

    def __init__(self, model):
        self.model = model
        layers = named_layers(model)
        self._layers = list(layers.values())
        unused = {id(x.pooling) for x in layers.values() if isinstance(x, LRUBlock)}
        for name, layer in layers.items():
            if id(layer) not in unused:
                _check_layer(name, layer)
        self.recurrences = {
            name: layer for name, layer in layers.items() if _is_recurrence(layer)
        }
        if not self.recurrences:
            raise ValueError(
                "`model` must have a recurrence, an LRU, S5 or S4D. Received: "
                f"model={model.name!r}, which has none"
            )

    def start(self, batch):
        """Traces before the first step, `{layer name: Trace}`."""

        def traces():
            return {
                name: start_trace(layer.cell.system(), batch)
                for name, layer in self.recurrences.items()
            }

        # As a program, in which the systems, of which it takes the sizes, cost nothing.
        return compiled(traces)()

    def __call__(self, inputs, traces, training):
        """Runs one step.

        Args:
            inputs: `(batch, …)`: what a step of the model's input is.
            traces: What `start`, or the step before, gave.
            training: As of the model's call.

        Returns:
            The model's outputs `(batch, …)`, and the traces after the step.
        """
        traces, called = dict(traces), set()

        def call(name, layer, args, kwargs):
            sequences, initial_state, mask = _arguments(*args, **kwargs)
            if name in called or initial_state is not None or mask is not None:
                raise ValueError(
                    f"`model` must call layer {name!r} once, without `initial_state` "
                    f"and `mask`. Received: model={self.model.name!r}"
                )
            called.add(name)
            u = ops.cast(sequences[:, 0], layer.compute_dtype)
            system = layer.cell.system()
            outputs, traces[name] = traced_step(system, u, traces[name])
            return outputs[:, None]

        with calls_replaced(self.recurrences, call):
            outputs = self.model(inputs[:, None], training=training)
        return outputs[:, 0], traces

    def check_steps(self, inputs):
        """Raise unless the model looks at each step alone, but for its recurrences.

        Some steps are run at once, and one after the other.

        Args:
            inputs: `(batch, …)`, a step: what is run is like it.

        Raises:
            ValueError: If the outputs differ, or the model has not one a step.
        """
        variables = self.model.variables
        if _is_floating(inputs):
            rng = np.random.default_rng(0)
            drawn = rng.normal(size=(_TRIAL_STEPS, *inputs.shape))
            steps = [ops.convert_to_tensor(x, inputs.dtype) for x in drawn]
        else:
            steps = [inputs, ops.zeros_like(inputs), inputs]

        def outputs_both_ways(values, traces, *steps):
            with keras.StatelessScope(zip(variables, values, strict=True)):
                whole = self.model(ops.stack(steps, axis=1), training=False)
                _check_outputs(self.model, whole)
                for step in steps:
                    outputs, traces = self(step, traces, training=False)
            return whole[:, -1], outputs

        both = compiled(outputs_both_ways)(
            [v.value for v in variables], self.start(inputs.shape[0]), *steps
        )
        whole, last = (
            ops.convert_to_numpy(ops.cast(ops.stop_gradient(x), "float32"))
            for x in both
        )
        dtypes = {layer.compute_dtype for layer in self._layers}
        tolerance = (0.1 if dtypes & {"float16", "bfloat16"} else 1e-3) * np.abs(
            whole
        ).max(initial=1e-6)
        if np.abs(whole - last).max(initial=0.0) > tolerance:
            raise ValueError(
                "`model` must look at each step alone, but for its recurrences. "
                f"Received: model={self.model.name!r}, whose output for "
                f"{_TRIAL_STEPS} steps at once is not that for one after the other"
            )


def _check_layer(name, layer):
    described = f"layer {name!r} ({type(layer).__name__})"
    for attribute, (wanted, reason) in _WANTED.items():
        value = getattr(layer, attribute, wanted)
        if bool(value) is not wanted:
            raise ValueError(
                f"`{attribute}` must be {wanted} in a model that learns online: "
                f"{reason}. Received: {attribute}={value!r} in {described}"
            )
    if isinstance(layer, keras.layers.Bidirectional):
        raise ValueError(
            "`bidirectional` must be False in a model that learns online: the end of a "
            f"stream is not there. Received: bidirectional=True, {described}"
        )
    if isinstance(layer, keras.layers.RNN) and not _is_recurrence(layer):
        raise ValueError(
            "`recurrence` must be linear and diagonal with constant coefficients in a "
            f"model that learns online: an LRU, S5 or S4D. Received: {described}"
        )
    if isinstance(layer, keras.layers.BatchNormalization) and layer.trainable:
        raise ValueError(
            '`normalization` must be None, "layer" or "rms" in a model that learns '
            "online, or the layer frozen by trainable=False, which then uses its "
            f'moving statistics. Received: normalization="batch", {described}'
        )
    if isinstance(layer, keras.layers.Masking):
        raise ValueError(
            "`model` must have no mask to learn online: leave steps out, a stream has "
            f"no padding. Received: {described}"
        )
    if isinstance(layer, SequencePooling):
        raise ValueError(
            "`pooling` must not be in a model that learns online: every step has its "
            f"output. Received: pooling={layer.mode!r} in {described}"
        )
    if hasattr(layer, "call_in_stream"):
        raise ValueError(
            "`model` must remember in its recurrences alone to learn online. "
            f"Received: {described}"
        )


def _is_recurrence(layer):
    return isinstance(layer, RecurrentLayer) and isinstance(layer.cell, DiagonalCell)


def _is_floating(tensor):
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))


def _arguments(
    sequences, initial_state=None, mask=None, training=False, sequences_mask=None
):
    """Those of a recurrence's call that a stream has something to say about."""
    del training
    return sequences, initial_state, sequences_mask if mask is None else mask


def _check_outputs(model, outputs):
    shape = getattr(outputs, "shape", None)
    if shape is None or len(shape) < 2 or shape[1] != _TRIAL_STEPS:
        received = type(outputs).__name__ if shape is None else f"shape {tuple(shape)}"
        raise ValueError(
            "`model` must return one tensor (batch, time, …), an output for each step. "
            f"Received: model={model.name!r}, which turns {_TRIAL_STEPS} steps into "
            f"{received}"
        )
