"""What a layer remembers between the pieces of a sequence."""

import re

from keras import ops


class CannotStreamError(ValueError):
    """Why a layer cannot take a sequence in pieces, found while it was called."""


class LayerStates:
    """The states of one layer, which it reads and writes while a piece runs through.

    Args:
        layer_name: What the names of the states start with.
        states: Dictionary of the states of all layers. Those of this layer in it are
            replaced.

    Attributes:
        initial: Dictionary of those states that were missing: the initial ones.

    Example:

    >>> import numpy as np
    >>> from keras_lru.export.layer_states import LayerStates
    >>> everything = {}
    >>> for piece in ([1.0, 2.0], [3.0]):
    ...     states = LayerStates("sum", everything)
    ...     before = states.read("total", np.zeros((1, 1), "float32"))
    ...     states.write("total", before + np.sum(piece))
    >>> {name: float(value[0, 0]) for name, value in everything.items()}
    {'sum_total': 6.0}
    """

    def __init__(self, layer_name, states):
        self._prefix = re.sub(r"\W", "_", layer_name)
        self._states = states
        self.initial = {}
        self._first = {}

    def read(self, name, initial):
        """A state after the piece before.

        Args:
            name: Name of the state, unique in the layer.
            initial: The state before the first piece, `(batch, …)`, the same for each
                sequence of the batch.

        Returns:
            A tensor of the shape and dtype of `initial`.
        """
        full_name = f"{self._prefix}_{name}"
        initial = ops.convert_to_tensor(initial)
        self._first[name] = initial
        if full_name not in self._states:
            self.initial[full_name] = self._states[full_name] = initial
        return ops.cast(self._states[full_name], initial.dtype)

    def write(self, name, value):
        """Sets the state after this piece.

        Args:
            name: Name of a state that this piece has read.
            value: Tensor of the shape of its initial state.

        Raises:
            CannotStreamError: If the state was not read, or has another shape.
        """
        if name not in self._first:
            raise CannotStreamError(
                f"it writes a state {name!r} that it has not read, so that it has no "
                "initial value"
            )
        initial = self._first[name]
        value = ops.cast(value, initial.dtype)
        if not _agree(value.shape[1:], initial.shape[1:]):
            raise CannotStreamError(
                f"its state {name!r} must keep its shape (batch, …). Initial shape: "
                f"{tuple(initial.shape)}, new shape: {tuple(value.shape)}"
            )
        self._states[f"{self._prefix}_{name}"] = value


def _agree(shape, other):
    """Whether two shapes are the same, as far as they are known."""
    return len(shape) == len(other) and all(
        a == b for a, b in zip(shape, other, strict=True) if None not in (a, b)
    )
