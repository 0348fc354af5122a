"""A model as a function of inputs and states."""

import contextlib
from functools import partial

import keras
import numpy as np
from keras import ops, tree

from keras_lru.export.carriers import ForeignStateError, make_carrier
from keras_lru.models.pair_classifier import PairClassifier
from keras_lru.models.pooling import SequencePooling

# Of the trial sequence: a single step, more steps than a block has, and a few.
_PIECES = (1, 4, 2)


class StreamingModel:
    """A model that takes a sequence in pieces, states in and states out.

    Whether it can is tried on random inputs: the pieces of a sequence must give the
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
        self._layers = _named_layers(model)
        for name, layer in self._layers.items():
            reason = _refusal(layer)
            if reason is not None:
                raise self._error(name, reason)
        self._carriers = {
            name: carrier
            for name, layer in self._layers.items()
            if (carrier := make_carrier(layer, name)) is not None
        }
        if not self._carriers:
            raise self._error(model.name, "it has no recurrent layer")
        self.has_time = self._try(_random_inputs(signature[0], self._layers))
        self.initial_state = {
            name: ops.convert_to_numpy(value)[0]
            for carrier in self._carriers.values()
            for name, value in carrier.initial.items()
        }

    def __call__(self, inputs, states, record=None):
        """Runs a piece.

        Args:
            inputs: The model's inputs, any number of steps.
            states: Dictionary of the states after the piece before.
            record: Optional function of a layer's name and outputs, called as soon
                as they are there.

        Returns:
            The model's outputs, and the dictionary of the states after the piece.
        """
        states = dict(states)
        called = set()

        def call(name, original, *args, **kwargs):
            if name in self._carriers:
                if name in called:
                    raise self._error(name, "it reads two sequences")
                called.add(name)
                try:
                    outputs = self._carriers[name].call(states, args, kwargs)
                except ForeignStateError as error:
                    raise self._error(name, error) from error
            else:
                outputs = original(*args, **kwargs)
            if record is not None:
                record(name, outputs)
            return outputs

        with contextlib.ExitStack() as stack:
            for name in self._carriers if record is None else self._layers:
                layer = self._layers[name]
                # Past attribute assignment, by which Keras would track it.
                vars(layer)["call"] = partial(call, name, layer.call)
                stack.callback(vars(layer).pop, "call")
            outputs = self.model(inputs, training=False)
        return outputs, states

    def _try(self, inputs):
        """Which outputs have a time axis. Raises if whole and pieces differ."""
        whole, _ = self._run_recorded(inputs, {})
        states, pieces, start = {}, [], 0
        for steps in _PIECES:
            piece = tree.map_structure(
                lambda x, start=start, stop=start + steps: x[:, start:stop], inputs
            )
            outputs, states = self._run_recorded(piece, states)
            pieces.append(outputs)
            start += steps
        tolerance = 0.05 if "16" in self.model.compute_dtype else 1e-3
        for (name, expected), *parts in zip(whole, *pieces, strict=True):
            for i, array in enumerate(expected):
                arrays = [part[i] for _, part in parts]
                actual = np.concatenate(arrays, 1) if _in_time(arrays) else arrays[-1]
                # A vanishing scale would ask for equality.
                scale = max(np.abs(array).max(initial=0.0), 1e-6)
                same = actual.shape == array.shape and np.allclose(
                    actual, array, atol=tolerance * scale, rtol=0
                )
                if not same:
                    raise self._error(
                        name, "in pieces its outputs are not those of the whole"
                    )
        # The model itself comes last.
        outputs = (recorded[-1][1] for recorded in pieces)
        return [_in_time(arrays) for arrays in zip(*outputs, strict=True)]

    def _run_recorded(self, inputs, states):
        recorded = []

        def record(name, outputs):
            flat = [
                ops.convert_to_numpy(x).astype("float64") for x in tree.flatten(outputs)
            ]
            recorded.append((name, flat))

        _, states = self(inputs, states, record)
        return recorded, states

    def _error(self, name, reason):
        return ValueError(
            "`model` cannot be streamed; export it with `streaming=False`. Received: "
            f"model={self.model.name!r}, where layer {name!r} "
            f"({type(self._layers[name]).__name__}) stands in the way: {reason}"
        )


def _in_time(arrays):
    """Whether the results of the pieces are consecutive in time."""
    return all(
        array.ndim > 1 and array.shape[1] == steps
        for array, steps in zip(arrays, _PIECES, strict=True)
    )


def _refusal(layer):
    """Why a sequence in pieces cannot run through `layer`; `None` if it may."""
    if isinstance(layer, keras.layers.Bidirectional):
        return "it reads the sequence from its end too"
    if isinstance(layer, PairClassifier):
        return "it reads two sequences"
    if isinstance(layer, SequencePooling) and layer.mode != "last":
        return f"it pools over the whole sequence, mode={layer.mode!r}"
    if getattr(layer, "go_backwards", False):
        return "go_backwards=True, it reads the sequence from its end"
    if getattr(layer, "stateful", False):
        return "stateful=True, it has states of its own"
    return None


def _named_layers(model):
    """`{name: layer}`: the model and all in it, but not what is inside a recurrence.

    A layer's name is made unique by those of the layers that it is in.
    """
    chains = {}

    def walk(layer, chain):
        if id(layer) in chains:
            return
        chains[id(layer)] = (chain, layer)
        if not isinstance(layer, keras.layers.RNN | keras.layers.Wrapper):
            for child in layer._flatten_layers(include_self=False, recursive=False):
                walk(child, (*chain, child.name))

    walk(model, (model.name,))
    suffixes = [{chain[i:] for i in range(len(chain))} for chain, _ in chains.values()]

    def shortest(chain):
        for start in range(len(chain) - 1, -1, -1):
            if sum(chain[start:] in suffix for suffix in suffixes) == 1:
                return "/".join(chain[start:])
        return "/".join(chain)

    return {shortest(chain): layer for chain, layer in chains.values()}


def _random_inputs(structure, layers):
    """A trial batch of two sequences, with masked steps where a model masks."""
    rng = np.random.default_rng(0)
    tokens = [x.input_dim for x in layers.values() if hasattr(x, "embeddings")]
    masked = [x.mask_value for x in layers.values() if hasattr(x, "mask_value")]

    def draw(spec):
        shape = (spec.shape[0] or 2, sum(_PIECES), *spec.shape[2:])
        if "int" in spec.dtype or (tokens and len(shape) == 2):
            return rng.integers(0, min(tokens, default=2), shape).astype(spec.dtype)
        x = rng.normal(size=shape).astype(spec.dtype)
        if masked:
            x[rng.random(shape[:2]) < 0.3] = masked[0]
        return x

    return tree.map_structure(draw, structure)
