"""How Keras's own layers run in a stream, and why some cannot."""

import inspect

import keras
from keras import ops, tree

from keras_lru.export.layer_states import CannotStreamError


def why_not(layer):
    """Why a sequence in pieces cannot run through `layer`; `None` if it may."""
    if isinstance(layer, keras.layers.Bidirectional):
        return "it reads the sequence from its end too"
    if getattr(layer, "go_backwards", False):
        return "go_backwards=True, it reads the sequence from its end"
    if getattr(layer, "stateful", False):
        return "stateful=True, it has states of its own"
    return None


def remembers(layer):
    """Whether `call_in_stream` knows what `layer` carries from piece to piece."""
    return isinstance(layer, keras.layers.RNN)


def runs_its_layers_itself(layer):
    """Whether the layers inside of `layer` see no sequence, or not as it comes."""
    return isinstance(layer, keras.layers.RNN | keras.layers.Wrapper)


def call_in_stream(layer, args, kwargs, states):
    """Calls a `keras.layers.RNN` on a piece of a sequence, an `LRU` or an `LSTM` say.

    Args:
        layer: The layer.
        args: Positional arguments of its `call`.
        kwargs: Keyword arguments of its `call`.
        states: Its `LayerStates`.

    Returns:
        What its `call` returns.

    Raises:
        CannotStreamError: If the model gives it an initial state.
    """
    arguments = inspect.signature(layer.call).bind(*args, **kwargs).arguments
    if arguments.get("initial_state") is not None:
        raise CannotStreamError(
            "its initial state comes from another layer, for each piece anew"
        )
    sequences = next(iter(arguments.values()))
    initial = layer.get_initial_state(ops.shape(sequences)[0])
    arguments["initial_state"] = read_states(layer, initial, states)

    return_state, layer.return_state = layer.return_state, True
    try:
        outputs, *last = layer.call(**arguments)
    finally:
        layer.return_state = return_state
    write_states(layer, last, states)

    mask = arguments.get("mask")
    if mask is None:
        # So Keras calls it where the call has other tensors too.
        mask = arguments.get("sequences_mask")
    if mask is not None and not layer.zero_output_for_mask:
        mask = tree.flatten(mask)[0]
        reset = arguments.get("reset")
        if reset is not None:
            # What begins in this piece repeats nothing of those before.
            reset = ops.reshape(ops.cast(reset, "bool"), ops.shape(mask))
            mask = ops.logical_or(mask, reset)
        outputs = _repeat_output(outputs, mask, states)
    return (outputs, *last) if return_state else outputs


def read_states(layer, initial, states):
    """The states of a `keras.layers.RNN` after the piece before.

    Args:
        layer: The layer.
        initial: Those before the first piece, of which it has the structure.
        states: Its `LayerStates`.
    """
    values = tree.flatten(initial)
    names = _state_names(layer, len(values))
    values = [states.read(*state) for state in zip(names, values, strict=True)]
    return tree.pack_sequence_as(initial, values)


def write_states(layer, values, states):
    """Sets the states of a `keras.layers.RNN`, of any structure, after a piece."""
    values = tree.flatten(values)
    for name, value in zip(_state_names(layer, len(values)), values, strict=True):
        states.write(name, value)


def _state_names(layer, count):
    names = getattr(layer.cell, "state_names", None)
    return names or [f"state_{i}" for i in range(count)]


def _repeat_output(outputs, counts, states):
    """Outputs with that of the pieces before, until the first step that counts."""
    has_time = len(outputs.shape) == 3
    like = outputs[:, 0] if has_time else outputs
    before = states.read("output", ops.zeros_like(like))
    if has_time:
        seen = ops.cumsum(ops.cast(counts, "int32"), axis=1)[..., None] > 0
        outputs = ops.where(seen, outputs, before[:, None])
        # With `before` in front: there may be no step.
        last = ops.concatenate([before[:, None], outputs], axis=1)[:, -1]
    else:
        seen = ops.any(counts, axis=1, keepdims=True)
        last = outputs = ops.where(seen, outputs, before)
    states.write("output", last)
    return outputs
