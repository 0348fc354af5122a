"""Differences of the unmasked steps, whole and in pieces."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from keras_lru.export.layer_states import LayerStates
from keras_lru.layers.differences import Differences

BATCH, TIME, FEATURES = 2, 6, 2


def values(seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


def by_hand(x, mask):
    result = np.zeros_like(x)
    for row in range(len(x)):
        steps = np.flatnonzero(mask[row])
        result[row, steps[1:]] = np.diff(x[row, steps], axis=0)
    return result


def in_pieces(layer, x, mask, sizes):
    states, outputs, start = {}, [], 0
    for size in sizes:
        piece = slice(start, start + size)
        m = None if mask is None else mask[:, piece]
        outputs.append(
            layer.call_in_stream(
                ops.convert_to_tensor(x[:, piece]),
                mask=None if m is None else ops.convert_to_tensor(m),
                states=LayerStates("d", states),
            )
        )
        start += size
    return np.concatenate([ops.convert_to_numpy(y) for y in outputs], axis=1)


@settings(deadline=None, max_examples=20)
@given(
    mask=arrays(bool, (BATCH, TIME)),
    sizes=st.sampled_from([[6], [3, 3], [1] * 6]),
)
def test_any_mask_in_any_pieces(mask, sizes):
    x = values()
    expected = by_hand(x, mask)
    whole = ops.convert_to_numpy(Differences()(x, mask=mask))
    np.testing.assert_allclose(whole, expected, atol=1e-6)
    pieces = in_pieces(Differences(), x, mask, sizes)
    np.testing.assert_allclose(pieces, expected, atol=1e-6)


def test_without_a_mask():
    x = values()
    expected = by_hand(x, np.ones((BATCH, TIME), bool))
    for actual in (Differences()(x), in_pieces(Differences(), x, None, [1, 3, 2])):
        np.testing.assert_allclose(ops.convert_to_numpy(actual), expected, atol=1e-6)


@pytest.mark.parametrize("time", [0, 1])
def test_short_sequences(time):
    assert Differences()(values()[:, :time]).shape == (BATCH, time, FEATURES)
    mask = np.ones((BATCH, time), bool)
    y = Differences()(values()[:, :time], mask=mask)
    assert not ops.convert_to_numpy(y).any()


def test_what_is_masked_does_not_matter():
    mask = np.array([[1, 1, 0, 1, 0, 0], [0, 1, 1, 1, 1, 1]], bool)
    x = values()
    garbage = np.where(mask[..., None], x, np.nan).astype("float32")
    first, second = (Differences()(v, mask=mask) for v in (x, garbage))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(first), ops.convert_to_numpy(second)
    )


def test_in_a_model():
    model = keras.Sequential(
        [keras.layers.Masking(), Differences(), keras.layers.LSTM(3)]
    )
    assert model(values()).shape == (BATCH, 3)
