"""Which states the inputs of a model reach."""

import numpy as np
from keras import ops

from keras_lru.compress.cells import system_of
from keras_lru.export.model_in_pieces import calls_replaced


def reached_by(model, cells, inputs):
    """`{path: Σ x xᴴ}` over all steps of the inputs, a mean over the sequences.

    Args:
        model: Built.
        cells: `{path: cell}`, some of it.
        inputs: Inputs of the model.
    """
    paths = {id(cell): path for path, cell in cells.items()}
    layers = {
        paths[id(layer.cell)]: layer
        for layer in model._flatten_layers()
        if id(getattr(layer, "cell", None)) in paths
    }
    reached = {}

    def observe(path, layer, args, kwargs):
        sequences = args[0] if args else kwargs["sequences"]
        mask = kwargs.get("mask")
        mask = kwargs.get("sequences_mask") if mask is None else mask
        reached[path] = _gramian(layer, sequences, mask)
        return layer.call(*args, **kwargs)

    with calls_replaced(layers, observe):
        model(inputs)
    return reached


def _gramian(layer, sequences, mask):
    """Σ x xᴴ of the states after each unmasked step, from states of zero."""
    inputs = ops.convert_to_numpy(ops.cast(sequences, "float32")).astype("float64")
    batch, time, _ = inputs.shape
    mask = np.ones((batch, time), bool) if mask is None else ops.convert_to_numpy(mask)
    if layer.go_backwards:
        inputs, mask = inputs[:, ::-1], mask[:, ::-1]
    system = system_of(layer.cell)
    eigenvalues = np.exp(system.log_eigenvalues)
    states = np.zeros((batch, len(eigenvalues)), "complex128")
    total = np.zeros((len(eigenvalues),) * 2, "complex128")
    for t in range(time):
        runs = mask[:, t].astype(bool)
        states[runs] = eigenvalues * states[runs] + inputs[runs, t] @ system.B
        total += states[runs].T @ states[runs].conj()
    return total / batch
