"""Masks that arrive by themselves: they do what the same mask given by hand does."""

import keras
import numpy as np
import pytest
from keras import ops

from .kinds import each_kind
from .sequences import BATCH, MASKS, TIME, assert_close, assert_same, model_of, numpy_of

each = pytest.mark.parametrize("kind", each_kind(fast=None))
lru_first = pytest.mark.parametrize("kind", each_kind(fast=["lru"]))


def masked_by_value(kind, mask="holes"):
    """Inputs that `keras.layers.Masking` masks so."""
    return np.where(MASKS[mask][..., None], kind.inputs(), 0.0).astype("float32")


def state_inputs(kind, count=1):
    return [keras.Input((kind.num_states,)) for _ in kind.state_names * count]


@each
def test_masking_beside_an_initial_state(kind):
    layer, x, states = kind.shared, masked_by_value(kind), kind.states()
    inputs, starts = keras.Input((None, kind.features)), state_inputs(kind)
    masked = keras.layers.Masking()(inputs)
    model = model_of([inputs, *starts], layer(masked, initial_state=starts))
    found = model.predict_on_batch([x, *states])
    y, last = kind.reference(layer, x, states, MASKS["holes"])
    assert_close(list(found), [y, *last])


@lru_first
def test_every_way_to_call_it(kind):
    layer, states = kind.shared, kind.states()
    x = keras.layers.Masking()(masked_by_value(kind))
    mask = ops.convert_to_tensor(MASKS["holes"])
    expected = layer(kind.inputs(), initial_state=states, mask=mask)
    states = [ops.convert_to_tensor(state) for state in states]
    for found in (
        layer(x, initial_state=states),
        layer(x, states),
        layer(x, states, training=True),
        layer(x, states, None),
        layer(sequences=x, initial_state=states),
    ):
        assert_same(found, expected)
    # One given by hand goes before.
    other = ops.convert_to_tensor(MASKS["left"])
    assert_same(
        layer(x, initial_state=states, mask=other),
        layer(masked_by_value(kind), initial_state=states, mask=other),
    )


@lru_first
def test_tokens_that_are_padding_beside_an_initial_state(kind):
    layer, states = kind.shared, kind.states()
    tokens = np.where(MASKS["right"], 1 + np.arange(TIME) % 3, 0)
    embedding = keras.layers.Embedding(4, kind.features, mask_zero=True)
    embedded = numpy_of(embedding(tokens)).astype("float32")
    assert_same(
        layer(embedding(tokens), initial_state=states),
        layer(embedded, initial_state=states, mask=MASKS["right"]),
    )


@lru_first
def test_both_directions_beside_initial_states(kind):
    x, states = masked_by_value(kind), kind.states() * 2
    layer = keras.layers.Bidirectional(kind.make(return_sequences=True))
    inputs, starts = keras.Input((None, kind.features)), state_inputs(kind, 2)
    masked = keras.layers.Masking()(inputs)
    model = model_of([inputs, *starts], layer(masked, initial_state=starts))
    assert_close(
        model.predict_on_batch([x, *states]),
        layer(x, initial_state=states, mask=MASKS["holes"]),
    )


@lru_first
def test_the_mask_goes_on_beside_an_initial_state(kind):
    layer = kind.make(return_sequences=True)
    x = keras.layers.Masking()(masked_by_value(kind))
    pool = keras.layers.GlobalAveragePooling1D()
    y = layer(x, initial_state=kind.states())
    assert_same(pool(y), pool(numpy_of(y), mask=MASKS["holes"]))


@each
def test_mask_of_a_column(kind):
    x = kind.inputs()
    found = kind.shared(x, mask=MASKS["holes"][..., None])
    assert_same(found, kind.shared(x, mask=MASKS["holes"]))
    with pytest.raises(ValueError, match=r"`mask` must .*\(3, 7\).*\(3, 7, 2\)"):
        kind.shared(x, mask=np.ones((BATCH, TIME, 2), bool))
