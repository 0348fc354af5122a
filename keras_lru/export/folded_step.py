"""A step of an LRU or S5 with all computed beforehand that is the same each time."""

import numpy as np
from keras import ops

from keras_lru.layers import LRU, S5, LRUCell, S5Cell
from keras_lru.ops.dense_system import DenseSystem

_FOLDED = (LRU, S5)
_CELLS = (LRUCell, S5Cell)


def folded_step(layer):
    """What takes one step of a layer, by constants of its weights as they are now.

    Args:
        layer: Any layer.

    Returns:
        `None` if there is nothing to compute beforehand. Else a function of inputs
        `(batch, 1, features)` and of the layer's `LayerStates`, which returns what the
        call of the layer returns.
    """
    # Subclasses may compute something else.
    if type(layer) not in _FOLDED or type(layer.cell) not in _CELLS:
        return None
    system = layer.cell.system()
    whole = layer.compute_dtype == system.dtype == "float32"
    return _FoldedStep(layer, system) if whole and type(system) is DenseSystem else None


class _FoldedStep:
    """`x ← λ x + B u`, `y = Re(C x) + D u`, where x is `[Re x, Im x]`."""

    def __init__(self, layer, system):
        self._layer = layer
        constants = system.step_constants()
        self._direct, self._cross, self._B, self._C, self._D = (
            None if x is None else np.array(ops.convert_to_numpy(x)) for x in constants
        )

    def __call__(self, inputs, states):
        u = ops.squeeze(inputs, 1)
        names = self._layer.cell.state_names
        zeros = self._layer.get_initial_state(1)
        real, imag = (
            states.read(name, zero) for name, zero in zip(names, zeros, strict=True)
        )
        x = self._direct * ops.concatenate([real, imag], axis=-1)
        x = x + self._cross * ops.concatenate([imag, real], axis=-1)
        x = x + ops.matmul(u, self._B)
        last = ops.split(x, 2, axis=-1)
        for name, value in zip(names, last, strict=True):
            states.write(name, value)
        y = ops.matmul(x, self._C)
        if self._D is not None:
            y = y + (u * self._D if self._D.ndim == 1 else ops.matmul(u, self._D))
        if self._layer.return_sequences:
            y = ops.expand_dims(y, 1)
        return (y, *last) if self._layer.return_state else y
