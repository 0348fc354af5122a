"""The layer inside Keras's wrappers."""

import keras
import numpy as np
import pytest

from .lru_reference import (
    BATCH,
    CLOSE,
    FEATURES,
    MASKS,
    STATES,
    TIME,
    UNITS,
    initial_state,
    inputs,
    make,
    numpy_of,
    reference,
)

MERGE = {
    "sum": np.add,
    "mul": np.multiply,
    "ave": lambda a, b: (a + b) / 2,
    "concat": lambda a, b: np.concatenate([a, b], -1),
    None: lambda a, b: [a, b],
}


def bidirectional(merge_mode="concat", **kwargs):
    wrapper = keras.layers.Bidirectional(
        make(built=False, **{"seed": None, **kwargs}), merge_mode=merge_mode
    )
    wrapper.build((BATCH, None, FEATURES))
    return wrapper


def expected_of(wrapper, x, states=(None, None), mask=None):
    """Outputs in the order of time, and last states, of both directions."""
    forward, last = reference(wrapper.forward_layer, x, states[0], mask)
    backward, first = reference(wrapper.backward_layer, x, states[1], mask)
    if backward.ndim == 3:
        backward = backward[:, ::-1]
    return MERGE[wrapper.merge_mode](forward, backward), [*last, *first]


@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("merge_mode", MERGE)
def test_bidirectional(merge_mode, return_sequences):
    wrapper = bidirectional(merge_mode, return_sequences=return_sequences)
    expected, _ = expected_of(wrapper, inputs())
    y = wrapper(inputs())
    found = list(map(numpy_of, y)) if merge_mode is None else numpy_of(y)
    np.testing.assert_allclose(found, expected, **CLOSE)


@pytest.mark.parametrize("return_sequences", [True, False])
def test_bidirectional_under_masks(return_sequences):
    wrapper = bidirectional(return_sequences=return_sequences)
    for kind in ("right", "left", "holes", "whole rows"):
        expected, _ = expected_of(wrapper, inputs(), mask=MASKS[kind])
        y = wrapper(inputs(), mask=MASKS[kind])
        np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


def test_bidirectional_states():
    wrapper = bidirectional(return_sequences=True, return_state=True)
    first, second = initial_state(seed=1), initial_state(seed=2)
    expected, last = expected_of(wrapper, inputs(), (first, second), MASKS["right"])
    y, *states = wrapper(inputs(), initial_state=[*first, *second], mask=MASKS["right"])
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)
    assert len(states) == 4
    np.testing.assert_allclose(list(map(numpy_of, states)), last, **CLOSE)


@pytest.mark.parametrize("merge_mode", ["sum", "concat"])
def test_bidirectional_in_a_functional_model(merge_mode):
    wrapper = bidirectional(merge_mode, return_sequences=True)
    sequence = keras.Input((None, FEATURES))
    y = wrapper(keras.layers.Masking()(sequence))
    width = 2 * UNITS if merge_mode == "concat" else UNITS
    assert y.shape == (None, None, width)
    x = np.where(MASKS["right"][..., None], inputs(), 0).astype("float32")
    expected, _ = expected_of(wrapper, x, mask=MASKS["right"])
    found = keras.Model(sequence, y).predict(x, verbose=0)
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_directions_without_a_seed_start_with_different_weights():
    wrapper = bidirectional()
    pairs = zip(
        wrapper.forward_layer.get_weights(),
        wrapper.backward_layer.get_weights(),
        strict=True,
    )
    for forward, backward in pairs:
        assert not np.allclose(forward, backward)


def test_bidirectional_with_a_backward_layer_of_ones_own():
    wrapper = keras.layers.Bidirectional(
        make(built=False, seed=1),
        backward_layer=make(built=False, seed=2, go_backwards=True, state_size=6),
    )
    y = wrapper(inputs())
    expected, _ = expected_of(wrapper, inputs())
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


def test_bidirectional_reloads(tmp_path):
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), bidirectional(return_sequences=True)]
    )
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        numpy_of(loaded(inputs())), numpy_of(model(inputs())), **CLOSE
    )


@pytest.mark.parametrize("return_sequences", [True, False])
def test_time_distributed(return_sequences):
    layer = make(return_sequences=return_sequences)
    x = np.stack([inputs(seed=seed) for seed in range(2)], axis=1)
    y = keras.layers.TimeDistributed(layer)(x)
    tail = (TIME, UNITS) if return_sequences else (UNITS,)
    assert y.shape == (BATCH, 2, *tail)
    for i in range(2):
        expected, _ = reference(layer, x[:, i])
        np.testing.assert_allclose(numpy_of(y)[:, i], expected, **CLOSE)


def test_directions_count_weights_as_lstm_counts_them():
    wrapper = bidirectional()
    assert len(wrapper.trainable_weights) == 16
    assert wrapper.count_params() == 2 * make().count_params()
    assert wrapper.forward_layer.state_size == [STATES, STATES]
