"""What the tests of the dense RNN and the RG-LRU share, each with its float64 loop."""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np

from keras_lru.layers import RGLRU, DenseRNN, DenseRNNCell, RGLRUCell
from keras_lru.ops import naive

from .lru_reference import BATCH, CLOSE, TIME, gradients, numpy_of, weights_of

FEATURES = UNITS = 4


def _dense(weights, x, state, mask):
    w = [weights.get(name) for name in "ABCD"]
    return naive.dense_rnn(x, *w, np.tanh, state, mask)


def _gated(weights, x, state, mask):
    w = [weights[name] for name in ("Lambda", "W_a", "b_a", "W_x", "b_x")]
    return naive.rg_lru(x, *w, state, mask)


@dataclasses.dataclass
class Kind:
    """A layer, its cell, small sizes of it, and its loop."""

    layer: type
    cell: type
    sizes: dict
    states: int
    weights: list
    loop: Callable

    def make(self, built=True, **kwargs):
        """A small layer; it has its weights already unless `built` is false."""
        layer = self.layer(UNITS, **{"seed": 1, **self.sizes, **kwargs})
        if built:
            layer.build((BATCH, None, FEATURES))
        return layer

    def make_cell(self, **kwargs):
        return self.cell(UNITS, **{"seed": 1, **self.sizes, **kwargs})

    def state(self, batch=BATCH, seed=1):
        """An initial state, as a list."""
        rng = np.random.default_rng(seed)
        return [rng.normal(size=(batch, self.states)).astype("float32")]

    def reference(self, layer, x, state=None, mask=None, weights=None):
        """Outputs and last state that `layer` should return."""
        if layer.go_backwards:
            x = x[:, ::-1]
            mask = None if mask is None else mask[:, ::-1]
        state = None if state is None else np.asarray(state[0], "float64")
        y, last = self.loop(weights or weights_of(layer), x, state, mask)
        if mask is not None and layer.zero_output_for_mask:
            y = y * mask[..., None]
        if not layer.return_sequences:
            y = y[:, -1] if y.shape[1] else np.zeros((len(y), y.shape[2]))
        return y, last

    def check(self, layer, x, state=None, mask=None):
        """Assert that a layer that returns its state agrees with the loop."""
        found = layer(x, initial_state=state, mask=mask)
        expected = self.reference(layer, x, state, mask)
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_allclose(numpy_of(a), b, **CLOSE)

    def check_gradients(self, layer, x, state, mask=None):
        """Assert that every gradient agrees with the loop's, by differences."""
        rng = np.random.default_rng(2)
        shape = (BATCH, TIME, UNITS) if layer.return_sequences else (BATCH, UNITS)
        loss_weights = [rng.normal(size=shape), rng.normal(size=(BATCH, self.states))]
        found = gradients(layer, loss_weights, x, state, mask)
        arrays = {
            **weights_of(layer),
            "inputs": np.array(x, "float64"),
            "state": np.array(state[0], "float64"),
        }

        def loss():
            results = self.reference(
                layer, arrays["inputs"], [arrays["state"]], mask, arrays
            )
            return sum(
                np.sum(r * w) for r, w in zip(results, loss_weights, strict=True)
            )

        for (name, array), actual in zip(arrays.items(), found.values(), strict=True):
            expected = np.zeros_like(array)
            for index in np.ndindex(array.shape):
                kept = array[index]
                array[index] = kept + 1e-6
                above = loss()
                array[index] = kept - 1e-6
                expected[index] = (above - loss()) / 2e-6
                array[index] = kept
            # float32, relative to the largest: small ones are differences of large.
            np.testing.assert_allclose(
                actual, expected, atol=1e-4 * max(1, abs(expected).max()), err_msg=name
            )


KINDS = {
    "dense": Kind(DenseRNN, DenseRNNCell, {"state_size": 3}, 3, list("ABCD"), _dense),
    "gated": Kind(
        RGLRU,
        RGLRUCell,
        {"num_heads": 2},
        UNITS,
        ["Lambda", "W_a", "b_a", "W_x", "b_x"],
        _gated,
    ),
}


def sequential(layer, time=None, **kwargs):
    """A model of this layer alone."""
    return keras.Sequential([keras.Input((time, FEATURES), **kwargs), layer])
