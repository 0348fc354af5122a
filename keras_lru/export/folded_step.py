"""Steps of layers with all computed beforehand that is the same each time."""

import keras
from keras import ops

from keras_lru.export import keras_layers
from keras_lru.layers import LRU, S5, LRUCell, S5Cell
from keras_lru.ops.dense_system import DenseSystem

_FOLDED = (LRU, S5)
_CELLS = (LRUCell, S5Cell)
_RNNS = (
    keras.layers.RNN,
    keras.layers.SimpleRNN,
    keras.layers.LSTM,
    keras.layers.GRU,
)


class StepByStep:
    """Mixin of `ModelInPieces` whose pieces are of one step, from `fold` on."""

    _steps = None

    def fold(self, constant=lambda x: x):
        """Computes of the weights as they are now what all steps have in common.

        Args:
            constant: What is made of such a tensor, `tensor → tensor or array`.
        """
        self._steps = {
            name: _FoldedStep(layer, system, constant)
            for name, layer in self.layers.items()
            if (system := _foldable(layer)) is not None
        }

    def unfold(self):
        """From here on pieces are of any length again."""
        self._steps = None

    def call_layer(self, name, layer, args, kwargs, states):
        """As of `ModelInPieces`."""
        named = [x for key, x in kwargs.items() if key != "training"]
        if self._steps is not None and all(x is None for x in (*args[1:], *named)):
            if name in self._steps:
                return self._steps[name](args[0], states)
            if type(layer) in _RNNS:
                return _step_of_cell(layer, args[0], states)
        return super().call_layer(name, layer, args, kwargs, states)


def _foldable(layer):
    """The system of a layer of which much can be computed beforehand, or `None`."""
    # Subclasses may compute something else.
    if type(layer) not in _FOLDED or type(layer.cell) not in _CELLS:
        return None
    system = layer.cell.system()
    dtypes = {layer.compute_dtype, keras.backend.standardize_dtype(system.dtype)}
    is_whole = dtypes == {"float32"} and type(system) is DenseSystem
    return system if is_whole else None


def _step_of_cell(layer, inputs, states):
    """What a `keras.layers.RNN` returns of inputs of one step, without a loop."""
    initial = layer.get_initial_state(ops.shape(inputs)[0])
    before = keras_layers.read_states(layer, initial, states)
    output, after = layer.cell(ops.squeeze(inputs, 1), before, training=False)
    keras_layers.write_states(layer, after, states)
    if layer.return_sequences:
        output = ops.expand_dims(output, 1)
    return (output, *after) if layer.return_state else output


class _FoldedStep:
    """`x ← λ x + B u`, `y = Re(C x) + D u`, where x is `[Re x, Im x]`.

    Called with inputs `(batch, 1, features)` and the layer's `LayerStates`, it returns
    what the call of the layer returns.
    """

    def __init__(self, layer, system, constant):
        self._layer = layer
        self._direct, self._cross, self._B, self._C, self._D = (
            None if x is None else constant(x) for x in system.step_constants()
        )

    def __call__(self, inputs, states):
        u = ops.squeeze(inputs, 1)
        names = self._layer.cell.state_names
        zeros = self._layer.get_initial_state(1)
        real, imag = (
            states.read(name, zero) for name, zero in zip(names, zeros, strict=True)
        )
        # `multiply`, as arrays know nothing of PyTorch's tensors without numbers.
        x = ops.multiply(self._direct, ops.concatenate([real, imag], axis=-1))
        x = x + ops.multiply(self._cross, ops.concatenate([imag, real], axis=-1))
        x = x + ops.matmul(u, self._B)
        last = ops.split(x, 2, axis=-1)
        for name, value in zip(names, last, strict=True):
            states.write(name, value)
        y = ops.matmul(x, self._C)
        if self._D is not None:
            has_one_each = len(self._D.shape) == 1
            y = y + (ops.multiply if has_one_each else ops.matmul)(u, self._D)
        if self._layer.return_sequences:
            y = ops.expand_dims(y, 1)
        return (y, *last) if self._layer.return_state else y
