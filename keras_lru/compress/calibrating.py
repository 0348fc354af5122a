"""Which states the inputs of a model reach."""

import inspect

import numpy as np
from keras import ops

from keras_lru.compress.cells import system_of
from keras_lru.export.model_in_pieces import calls_replaced
from keras_lru.layers.recomputing import without_recomputing


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
        call = inspect.signature(layer.call).bind(*args, **kwargs).arguments
        found = _gramian(layer, call)
        reached[path] = reached.get(path, 0) + found
        return layer.call(*args, **kwargs)

    with without_recomputing(model), calls_replaced(layers, observe):
        model(inputs)
    return reached


def _gramian(layer, call):
    """Σ x xᴴ of the states after each unmasked step of a call, by its arguments."""
    inputs = _numbers(ops.cast(call["sequences"], "float32"))
    batch, time, _ = inputs.shape

    def of_steps(value, missing):
        if value is None:
            return np.full((batch, time), missing)
        return _numbers(value).reshape(batch, time)

    mask = call.get("mask")
    mask = call.get("sequences_mask") if mask is None else mask
    runs = of_steps(mask, 1) != 0
    begins = of_steps(call.get("reset"), 0) != 0
    rate = call.get("rate")
    sizes = of_steps(call.get("step_sizes"), 1) * (1 if rate is None else float(rate))
    if layer.go_backwards:
        inputs, runs, begins, sizes = (
            x[:, ::-1] for x in (inputs, runs, begins, sizes)
        )
    initial = call.get("initial_state")
    if initial is None and layer.stateful:
        initial = layer.states
    system, hold = system_of(layer.cell), getattr(layer.cell, "hold", "zero_order")
    logs, count = system.log_eigenvalues, len(system.log_eigenvalues)
    states, begun = (_joined(x, batch, count) for x in (initial, call.get("reset_to")))
    total = np.zeros((count, count), "complex128")
    for t in range(time):
        states = np.where(begins[:, t, None], begun, states)
        now = runs[:, t]
        z = sizes[now, t, None] * logs
        gain = np.expm1(z) / np.expm1(logs) if hold == "zero_order" else 1
        states[now] = np.exp(z) * states[now] + gain * (inputs[now, t] @ system.B)
        total += states[now].T @ states[now].conj()
    return total / batch


def _joined(states, batch, count):
    """Complex states of each sequence, of a list of two parts or of nothing."""
    if states is None:
        return np.zeros((batch, count), "complex128")
    real, imag = map(_numbers, states)
    return np.broadcast_to(real + 1j * imag, (batch, count)).copy()


def _numbers(x):
    return np.asarray(ops.convert_to_numpy(x), "float64")
