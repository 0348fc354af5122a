"""A model as a function of a piece of a sequence, and of the states before it."""

import contextlib
from functools import partial

from keras_lru.export import keras_layers
from keras_lru.export.layer_names import named_layers
from keras_lru.export.layer_states import CannotStreamError, LayerStates
from keras_lru.layers.recomputing import without_recomputing


class ModelInPieces:
    """A model that takes a sequence in pieces, states in and states out.

    Layers say themselves what they remember, and what stands in the way:

    - `call_in_stream(…, *, states)` is called in place of `call`, with the arguments of
      `call` and the layer's `LayerStates`;
    - `cannot_stream` is a reason, or `None`.

    For Keras's own layers `keras_layers` says it; all others are called as ever, and
    must look at each step alone.

    Args:
        model: A built `keras.Model`. Axis 1 of each input is time.

    Raises:
        ValueError: If a layer says that it cannot take a sequence in pieces, or none
            remembers anything. The message names the layer.
    """

    # What to do about a model that cannot be streamed.
    advice = ""

    def __init__(self, model):
        self.model = model
        self.layers = named_layers(model)
        for name, layer in self.layers.items():
            reason = getattr(layer, "cannot_stream", None)
            if reason is None:
                reason = keras_layers.why_not(layer)
            if reason is not None:
                raise self.error(name, reason)
        self._with_states = {
            name: layer
            for name, layer in self.layers.items()
            if hasattr(layer, "call_in_stream") or keras_layers.remembers(layer)
        }
        if not self._with_states:
            raise self.error(model.name, "it has no recurrent layer")

    def __call__(self, inputs, states, **kwargs):
        """Runs a piece.

        Args:
            inputs: The model's inputs, any number of steps.
            states: Dictionary of the states after the piece before. Missing ones are
                the initial ones.
            **kwargs: Other arguments of the model's call, such as `mask`.

        Returns:
            The model's outputs, and the dictionary of the states after the piece.
        """
        states = dict(states)
        replaced = calls_replaced(self._with_states, self.call_in_stream(states, {}))
        with without_recomputing(self.model), replaced:
            outputs = self.model(inputs, training=False, **kwargs)
        return outputs, states

    def call_in_stream(self, states, initial):
        """A function that calls layers on one piece of a sequence.

        It replaces the states in `states`, and adds those that were not there to
        `initial`, `{layer name: {state: initial value}}`.
        """
        called = set()

        def call(name, layer, args, kwargs):
            if name not in self._with_states:
                return layer.call(*args, **kwargs)
            if name in called:
                raise self.error(name, "it reads two sequences")
            called.add(name)
            own_states = LayerStates(name, states)
            try:
                outputs = self.call_layer(name, layer, args, kwargs, own_states)
            except CannotStreamError as error:
                raise self.error(name, error) from error
            initial.setdefault(name, {}).update(own_states.initial)
            return outputs

        return call

    def call_layer(self, name, layer, args, kwargs, states):
        """Calls a layer that remembers something on a piece.

        Args:
            name: Its name, unique in the model.
            layer: The layer.
            args: Positional arguments of its `call`.
            kwargs: Keyword arguments of its `call`.
            states: Its `LayerStates`.

        Returns:
            What its `call` returns.
        """
        del name
        if hasattr(layer, "call_in_stream"):
            return layer.call_in_stream(*args, states=states, **kwargs)
        return keras_layers.call_in_stream(layer, args, kwargs, states)

    def error(self, name, reason):
        """The error that says which layer stands in the way, and why."""
        return ValueError(
            f"`model` cannot be streamed{self.advice}. Received: "
            f"model={self.model.name!r}, where layer {name!r} "
            f"({type(self.layers[name]).__name__}) stands in the way: {reason}"
        )


@contextlib.contextmanager
def calls_replaced(layers, call):
    """Inside, `call(name, layer, args, kwargs)` is called for each layer's `call`."""

    def replaced(name, layer, *args, **kwargs):
        # Inside of its own call it is as ever.
        replacement = vars(layer).pop("call")
        try:
            return call(name, layer, args, kwargs)
        finally:
            vars(layer)["call"] = replacement

    for name, layer in layers.items():
        # Past attribute assignment, by which Keras would track it.
        vars(layer)["call"] = partial(replaced, name, layer)
    try:
        yield
    finally:
        for layer in layers.values():
            vars(layer).pop("call")
