"""Layers that remember: their memory as an argument and a result of the model's call.

A carrier replaces the `call` of its layer while a piece of a sequence runs through the
model. It starts the layer from a state that came in, and hands the last one out, so
that the pieces of a sequence give the outputs of the whole.
"""

import inspect
import re

import keras
from keras import ops, tree

from keras_lru.models.pooling import SequencePooling


class ForeignStateError(ValueError):
    """A recurrent layer starts from a state that the model gives it."""


class Carrier:
    """Carries the last output of a layer, which the layer repeats at masked steps.

    Args:
        layer: The layer.
        name: What the names of its states start with.

    Attributes:
        initial: `{name: tensor}`, the initial states of those sequences that came
            without states.
    """

    def __init__(self, layer, name):
        self.layer = layer
        self.name = re.sub(r"\W", "_", name)
        self.initial = {}
        self._call = layer.call
        self._signature = inspect.signature(layer.call)

    def call(self, states, args, kwargs):
        """Calls the layer, and replaces its states.

        Args:
            states: Dictionary; the layer's states in it are replaced by those after
                the last step. Missing ones are the initial ones.
            args: Positional arguments of the layer's `call`.
            kwargs: Keyword arguments of the layer's `call`.

        Returns:
            What the layer's `call` returns.
        """
        arguments = self._signature.bind(*args, **kwargs).arguments
        outputs = self._run(states, arguments)
        mask = arguments.get("mask")
        if mask is not None:
            first = tree.flatten(outputs)[0]
            held = self._hold(states, first, tree.flatten(mask)[0])
            outputs = held if outputs is first else (held, *outputs[1:])
        return outputs

    def _run(self, states, arguments):
        del states
        return self._call(**arguments)

    def _take(self, states, name, initial):
        if name not in states:
            self.initial[name] = states[name] = initial
        return states[name]

    def _hold(self, states, outputs, mask):
        """Outputs at masked steps with no unmasked step before them in this piece."""
        if getattr(self.layer, "zero_output_for_mask", False):
            return outputs
        name = f"{self.name}_output"
        like = outputs[:, 0] if len(outputs.shape) == 3 else outputs
        held = self._take(states, name, ops.zeros_like(like))
        unmasked = ops.cast(mask, "int32")
        if len(outputs.shape) == 3:
            seen = ops.cumsum(unmasked, axis=1)[..., None] > 0
            outputs = ops.where(seen, outputs, held[:, None])
            # With `held` in front: there may be no step.
            states[name] = ops.concatenate([held[:, None], outputs], axis=1)[:, -1]
        else:
            seen = ops.sum(unmasked, axis=1, keepdims=True) > 0
            states[name] = outputs = ops.where(seen, outputs, held)
        return outputs


class RecurrentCarrier(Carrier):
    """Carries the states of a `keras.layers.RNN` too, an `LRU` or an `LSTM` say."""

    def _run(self, states, arguments):
        layer = self.layer
        if arguments.get("initial_state") is not None:
            raise ForeignStateError(
                "its initial state comes from another layer, for each piece anew"
            )
        sequences = next(iter(arguments.values()))
        initial = layer.get_initial_state(ops.shape(sequences)[0])
        names = self._state_names(len(tree.flatten(initial)))
        values = [
            ops.cast(self._take(states, name, value), value.dtype)
            for name, value in zip(names, tree.flatten(initial), strict=True)
        ]
        arguments["initial_state"] = tree.pack_sequence_as(initial, values)
        return_state, layer.return_state = layer.return_state, True
        try:
            outputs, *last = self._call(**arguments)
        finally:
            layer.return_state = return_state
        states.update(zip(names, tree.flatten(last), strict=True))
        return (outputs, *last) if return_state else outputs

    def _state_names(self, count):
        names = getattr(self.layer.cell, "state_names", None)
        names = names or [f"state_{i}" for i in range(count)]
        return [f"{self.name}_{name}" for name in names]


def make_carrier(layer, name):
    """The carrier of a layer, or `None` for a layer that remembers nothing."""
    if isinstance(layer, keras.layers.RNN):
        return RecurrentCarrier(layer, name)
    if isinstance(layer, SequencePooling):
        return Carrier(layer, name)
    return None
