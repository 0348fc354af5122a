"""A model as a function of inputs and states."""

import contextlib
from functools import partial

import keras
from keras import ops, tree

from keras_lru.backend import compiled
from keras_lru.export import keras_layers, trial
from keras_lru.export.layer_names import named_layers
from keras_lru.export.layer_states import CannotStreamError, LayerStates


class StreamingModel:
    """A model that takes a sequence in pieces, states in and states out.

    Layers say themselves what they remember, and what stands in the way:

    - `call_in_stream(…, *, states)` is called in place of `call`, with the arguments of
      `call` and the layer's `LayerStates`;
    - `cannot_stream` is a reason, or `None`.

    For Keras's own layers `keras_layers` says it; all others are called as ever.
    Whether it is true is tried on random inputs: the pieces of a sequence must give the
    outputs of the whole, in every layer.

    Args:
        model: A built `keras.Model`. Axis 1 of each input is time.
        signature: Its arguments: a list with one structure of `keras.InputSpec`.

    Attributes:
        initial_state: `{name: row}`, NumPy arrays, the states before the first step of
            one sequence.
        has_time: Whether axis 1 of an output is time, for each output of the model.

    Raises:
        ValueError: If the model cannot take a sequence in pieces. The message names
            the layer.
    """

    def __init__(self, model, signature):
        self.model = model
        self._layers = named_layers(model)
        for name, layer in self._layers.items():
            reason = getattr(layer, "cannot_stream", None)
            if reason is None:
                reason = keras_layers.why_not(layer)
            if reason is not None:
                raise self._error(name, reason)
        self._with_states = {
            name: layer
            for name, layer in self._layers.items()
            if hasattr(layer, "call_in_stream") or keras_layers.remembers(layer)
        }
        if not self._with_states:
            raise self._error(model.name, "it has no recurrent layer")
        self._try(trial.random_inputs(signature[0], self._layers.values()))

    def __call__(self, inputs, states):
        """Runs a piece.

        Args:
            inputs: The model's inputs, any number of steps.
            states: Dictionary of the states after the piece before. Missing ones are
                the initial ones.

        Returns:
            The model's outputs, and the dictionary of the states after the piece.
        """
        states = dict(states)
        with _calls_replaced(self._with_states, self._call_in_stream(states, {})):
            outputs = self.model(inputs, training=False)
        return outputs, states

    def _call_in_stream(self, states, initial):
        """A function that calls layers on one piece of a sequence.

        It replaces the states in `states`, and adds those that were not there to
        `initial`, `{layer name: {state: initial value}}`.
        """
        called = set()

        def call(name, layer, args, kwargs):
            if name not in self._with_states:
                return layer.call(*args, **kwargs)
            if name in called:
                raise self._error(name, "it reads two sequences")
            called.add(name)
            own_states = LayerStates(name, states)
            try:
                if hasattr(layer, "call_in_stream"):
                    outputs = layer.call_in_stream(*args, states=own_states, **kwargs)
                else:
                    outputs = keras_layers.call_in_stream(
                        layer, args, kwargs, own_states
                    )
            except CannotStreamError as error:
                raise self._error(name, error) from error
            initial.setdefault(name, {}).update(own_states.initial)
            return outputs

        return call

    def _try(self, inputs):
        """Finds the initial states, and which outputs have a time axis."""
        whole, *_ = self._outputs_of_layers(in_stream=False)(inputs, {})
        run_piece = self._outputs_of_layers(in_stream=True)
        states, initial, pieces = {}, {}, []
        for piece in trial.cut(inputs):
            outputs, states, found = run_piece(piece, states)
            pieces.append(outputs)
            initial = initial or found
        self.initial_state = {
            state: self._row(name, state, value)
            for name, states in initial.items()
            for state, value in states.items()
        }
        self._compare(whole, pieces)
        # The model itself comes last.
        outputs = zip(*(recorded[-1][1] for recorded in pieces), strict=True)
        self.has_time = [trial.has_time(arrays) for arrays in outputs]

    def _row(self, name, state, value):
        rows = ops.convert_to_numpy(value)
        if not (rows == rows[:1]).all():
            raise self._error(
                name, f"its state {state!r} is not the same before all sequences"
            )
        return rows[0]

    def _compare(self, whole, pieces):
        tolerance = 0.05 if "16" in self.model.compute_dtype else 1e-3
        for (name, expected), *parts in zip(whole, *pieces, strict=True):
            outputs = zip(*(arrays for _, arrays in parts), strict=True)
            for arrays, array in zip(outputs, expected, strict=True):
                if not trial.is_whole(arrays, array, tolerance):
                    raise self._error(
                        name, "in pieces its outputs are not those of the whole"
                    )

    def _outputs_of_layers(self, in_stream):
        """A function that runs the model once, compiled for each length it is given.

        Args:
            in_stream: Whether it runs pieces of a sequence, or whole ones.

        Returns:
            A function of the model's inputs and the states before them. It returns
            `[(name, [output, …]), …]`, the outputs of all layers in the order of their
            calls; the states afterwards, and the initial ones, by layers.
        """
        names, variables = [], self.model.variables

        @compiled
        def run(values, inputs, states):
            initial, outputs = {}, []
            in_pieces = self._call_in_stream(states, initial)
            call = in_pieces if in_stream else _call_as_ever
            names.clear()

            def record(name, layer, args, kwargs):
                output = call(name, layer, args, kwargs)
                names.append(name)
                outputs.append(tree.flatten(output))
                return output

            scope = keras.StatelessScope(zip(variables, values, strict=True))
            with scope, _calls_replaced(self._layers, record):
                self.model(inputs, training=False)
            return outputs, states, initial

        def run_on_values(inputs, states):
            values = [variable.value for variable in variables]
            outputs, states, initial = run(values, inputs, states)
            arrays = [
                [ops.convert_to_numpy(x).astype("float64") for x in flat]
                for flat in outputs
            ]
            return list(zip(names, arrays, strict=True)), states, initial

        return run_on_values

    def _error(self, name, reason):
        return ValueError(
            "`model` cannot be streamed; export it with `streaming=False`. Received: "
            f"model={self.model.name!r}, where layer {name!r} "
            f"({type(self._layers[name]).__name__}) stands in the way: {reason}"
        )


def _call_as_ever(name, layer, args, kwargs):
    del name
    return layer.call(*args, **kwargs)


@contextlib.contextmanager
def _calls_replaced(layers, call):
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
