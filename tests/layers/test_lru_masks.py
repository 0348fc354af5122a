"""Masks: a masked step changes neither state nor output, as in Keras's LSTM."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from ..cases import combinations
from .lru_reference import (
    BATCH,
    CLOSE,
    FEATURES,
    MASKS,
    STATES,
    TIME,
    UNITS,
    check,
    cotangents,
    gradients,
    initial_state,
    inputs,
    make,
    numpy_of,
    reference,
)

pytestmark = pytest.mark.usefixtures("algorithm")


@pytest.mark.parametrize(
    ("go_backwards", "return_sequences", "zero_output_for_mask"),
    combinations(
        *[[True, False]] * 3,
        # Every two of them in every way.
        fast=[
            (True, True, True),
            (True, False, False),
            (False, True, False),
            (False, False, True),
        ],
    ),
)
def test_every_shape_of_mask(go_backwards, return_sequences, zero_output_for_mask):
    layer = make(
        go_backwards=go_backwards,
        return_sequences=return_sequences,
        zero_output_for_mask=zero_output_for_mask,
        return_state=True,
    )
    for mask in MASKS.values():
        check(layer, inputs(), mask=mask)
    for kind in ("right", "left", "holes"):
        check(layer, inputs(), initial_state(), MASKS[kind])


@settings(deadline=None, max_examples=10)
@given(
    mask=arrays(bool, (BATCH, TIME)),
    has_state=st.booleans(),
    flags=st.fixed_dictionaries(
        {
            name: st.booleans()
            for name in ("return_sequences", "go_backwards", "zero_output_for_mask")
        }
    ),
)
def test_any_mask(mask, has_state, flags):
    layer = make(return_state=True, **flags)
    check(layer, inputs(), initial_state() if has_state else None, mask)


@pytest.mark.parametrize("kind", ["right", "holes"])
def test_algorithms_give_the_same_numbers_under_masks(kind):
    for scan, block_size in (("sequential", 3), ("chunked", 2), ("associative", 1)):
        layer = make(
            scan=scan, block_size=block_size, return_sequences=True, return_state=True
        )
        check(layer, inputs(), initial_state(), MASKS[kind])


@pytest.mark.parametrize("return_sequences", [True, False])
@pytest.mark.parametrize("kind", ["right", "left", "holes"])
def test_same_rules_as_lstm(kind, return_sequences):
    """Where outputs repeat, and where they are zero, in Keras's own layer."""
    options = {"return_sequences": return_sequences}
    mask = MASKS[kind]
    for zero_output_for_mask in (True, False):
        options["zero_output_for_mask"] = zero_output_for_mask
        lstm = keras.layers.LSTM(UNITS, **options)
        for y in (lstm(inputs(), mask=mask), make(**options)(inputs(), mask=mask)):
            y = numpy_of(y)
            if not return_sequences:
                expected = mask.any(1) if not zero_output_for_mask else mask[:, -1]
                np.testing.assert_array_equal(y.any(-1), expected)
                continue
            for t in range(TIME):
                before = y[:, t - 1] if t and not zero_output_for_mask else 0 * y[:, t]
                masked = ~mask[:, t]
                np.testing.assert_allclose(y[masked, t], before[masked], **CLOSE)


@pytest.mark.parametrize("go_backwards", [True, False])
def test_padded_equals_unpadded(go_backwards):
    layer = make(go_backwards=go_backwards, return_state=True)
    for kind in ("right", "left", "both"):
        padded = layer(inputs(), mask=MASKS[kind])
        for i, keep in enumerate(MASKS[kind]):
            alone = layer(inputs()[i : i + 1, keep])
            for a, b in zip(padded, alone, strict=True):
                np.testing.assert_allclose(numpy_of(a)[i], numpy_of(b)[0], **CLOSE)


@pytest.mark.parametrize(
    ("kind", "return_sequences"),
    combinations(
        ["right", "left", "holes", "whole rows"],
        [True, False],
        fast=[
            ("right", True),
            ("left", False),
            ("holes", True),
            ("holes", False),
            ("whole rows", False),
        ],
    ),
)
def test_masked_values_do_not_matter(kind, return_sequences):
    mask = MASKS[kind]
    bad = np.where(mask[..., None], inputs(), np.nan).astype("float32")
    layer = make(return_sequences=return_sequences, return_state=True)
    for clean, dirty in zip(
        layer(inputs(), mask=mask), layer(bad, mask=mask), strict=True
    ):
        np.testing.assert_array_equal(numpy_of(clean), numpy_of(dirty))
    weights = cotangents(layer)
    clean, dirty = (gradients(layer, weights, x, mask=mask) for x in (inputs(), bad))
    for name in clean:
        np.testing.assert_array_equal(clean[name], dirty[name], err_msg=name)
    assert not dirty["inputs"][~mask].any()


@pytest.mark.parametrize("kind", ["int32", "float32", "tensor"])
def test_masks_of_any_kind(kind):
    layer = make()
    mask = MASKS["holes"]
    other = ops.convert_to_tensor(mask) if kind == "tensor" else mask.astype(kind)
    y, expected = layer(inputs(), mask=other), layer(inputs(), mask=mask)
    np.testing.assert_array_equal(numpy_of(y), numpy_of(expected))


# Where masks come from and go to


@pytest.mark.parametrize(
    ("time", "return_sequences"),
    combinations([None, TIME], [True, False], fast=[(None, True), (TIME, False)]),
)
def test_mask_of_a_masking_layer(time, return_sequences):
    layer = make(return_sequences=return_sequences)
    sequence = keras.Input((time, FEATURES))
    model = keras.Model(sequence, layer(keras.layers.Masking(-1.0)(sequence)))
    for kind in ("right", "holes", "everything"):
        mask = MASKS[kind]
        x = np.where(mask[..., None], inputs(), -1).astype("float32")
        expected, _ = reference(layer, x, mask=mask)
        np.testing.assert_allclose(numpy_of(model(x)), expected, **CLOSE)
        np.testing.assert_allclose(model.predict(x, verbose=0), expected, **CLOSE)


def test_mask_of_an_embedding():
    embedding = keras.layers.Embedding(5, FEATURES, mask_zero=True)
    layer = make(return_sequences=True)
    tokens = np.random.default_rng(0).integers(1, 5, (BATCH, TIME)) * MASKS["holes"]
    y = keras.Sequential([embedding, layer])(tokens)
    expected, _ = reference(layer, numpy_of(embedding(tokens)), mask=tokens != 0)
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


def test_mask_as_an_input_of_a_functional_model():
    layer = make(return_sequences=True)
    sequence, mask = keras.Input((None, FEATURES)), keras.Input((None,), dtype="bool")
    model = keras.Model([sequence, mask], layer(sequence, mask=mask))
    expected, _ = reference(layer, inputs(), mask=MASKS["left"])
    y = model.predict([inputs(), MASKS["left"]], verbose=0)
    np.testing.assert_allclose(y, expected, **CLOSE)


def test_mask_reaches_the_next_layer_of_sequences_only():
    mask, x = MASKS["right"], keras.layers.Masking()(inputs())
    for return_sequences in (True, False):
        layer = make(return_sequences=return_sequences)
        symbolic = layer(keras.layers.Masking()(keras.Input((None, FEATURES))))
        has_mask = keras.src.backend.get_keras_mask(symbolic) is not None
        assert has_mask is return_sequences
        assert (layer.compute_mask(x, mask) is mask) is return_sequences
    layer = make(return_sequences=True, return_state=True)
    assert layer.compute_mask(x, mask) == [mask, None, None]


def test_two_layers_under_one_mask_pool_the_unmasked_steps():
    first, second = (
        make(return_sequences=True),
        make(return_sequences=True, built=False),
    )
    sequence = keras.Input((None, FEATURES))
    y = second(first(keras.layers.Masking()(sequence)))
    model = keras.Model(sequence, keras.layers.GlobalAveragePooling1D()(y))
    mask = MASKS["right"]
    x = np.where(mask[..., None], inputs(), 0).astype("float32")
    for i, keep in enumerate(mask):
        alone = numpy_of(second(first(x[i : i + 1, keep])))[0].mean(0)
        np.testing.assert_allclose(numpy_of(model(x))[i], alone, **CLOSE)


@pytest.mark.parametrize(
    "jit_compile", [pytest.param(True, marks=pytest.mark.slow), False]
)
def test_training_under_a_mask(jit_compile):
    layer = make(return_sequences=True)
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), keras.layers.Masking(), layer]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse", jit_compile=jit_compile)
    before = layer.get_weights()
    x = np.where(MASKS["holes"][..., None], inputs(), 0).astype("float32")
    model.fit(x, np.zeros((BATCH, TIME, UNITS)), verbose=0)
    for old, new in zip(before, layer.get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert not np.array_equal(old, new)


def test_mask_over_no_steps():
    mask = np.ones((BATCH, 0), bool)
    for kwargs in ({}, {"zero_output_for_mask": True}, {"return_sequences": True}):
        layer = make(return_state=True, **kwargs)
        check(layer, inputs(0), initial_state(), mask)
        assert layer(inputs(0), mask=mask)[1].shape == (BATCH, STATES)
