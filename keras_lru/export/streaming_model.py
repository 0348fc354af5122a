"""A model as a function of inputs and states, tried before it is exported."""

import keras
from keras import ops, tree

from keras_lru.backend import compiled
from keras_lru.export import trial
from keras_lru.export.model_in_pieces import ModelInPieces, calls_replaced
from keras_lru.layers.recomputing import without_recomputing


class StreamingModel(ModelInPieces):
    """A `ModelInPieces` that has shown that pieces give the outputs of the whole.

    It is tried on random inputs, in every layer.

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

    advice = "; export it with `streaming=False`"

    def __init__(self, model, signature):
        super().__init__(model)
        self._try(trial.random_inputs(signature[0], self.layers.values()))

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
            raise self.error(
                name, f"its state {state!r} is not the same before all sequences"
            )
        return rows[0]

    def _compare(self, whole, pieces):
        dtypes = {layer.compute_dtype or "" for layer in self.model._flatten_layers()}
        tolerance = 0.05 if any("16" in dtype for dtype in dtypes) else 1e-3
        for (name, expected), *parts in zip(whole, *pieces, strict=True):
            outputs = zip(*(arrays for _, arrays in parts), strict=True)
            for arrays, array in zip(outputs, expected, strict=True):
                if not trial.is_whole(arrays, array, tolerance):
                    raise self.error(
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
            in_pieces = self.call_in_stream(states, initial)
            call = in_pieces if in_stream else _call_as_ever
            names.clear()

            def record(name, layer, args, kwargs):
                output = call(name, layer, args, kwargs)
                names.append(name)
                outputs.append(tree.flatten(output))
                return output

            scope = keras.StatelessScope(zip(variables, values, strict=True))
            once = without_recomputing(self.model)
            with scope, once, calls_replaced(self.layers, record):
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


def _call_as_ever(name, layer, args, kwargs):
    del name
    return layer.call(*args, **kwargs)
