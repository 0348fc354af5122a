"""Masks: a masked step changes neither state nor output, as in Keras's LSTM."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from .kinds import each_algorithm, each_kind
from .sequences import (
    BATCH,
    CLOSE,
    COMPILED,
    MASKS,
    TIME,
    assert_close,
    model_of,
    numpy_of,
    sequential,
)

EITHER = [True, False]
FLAGS = ("go_backwards", "return_sequences", "zero_output_for_mask")
# Every two of them in every way.
PAIRWISE = [
    (True, True, True),
    (True, False, False),
    (False, True, False),
    (False, False, True),
]


@pytest.mark.parametrize(
    ("kind", *FLAGS),
    each_kind(
        EITHER,
        EITHER,
        EITHER,
        others=PAIRWISE,
        fast=[("lru", *flags) for flags in PAIRWISE],
    ),
)
def test_every_shape_of_mask(
    kind, go_backwards, return_sequences, zero_output_for_mask
):
    solver = kind.solver(
        go_backwards=go_backwards,
        return_sequences=return_sequences,
        zero_output_for_mask=zero_output_for_mask,
    )
    for mask in MASKS.values():
        kind.check(solver, kind.inputs(), mask=mask)
        kind.check(solver, kind.inputs(), kind.states(), mask)


@settings(deadline=None, max_examples=10)
@given(mask=arrays(bool, (BATCH, TIME)))
@pytest.mark.parametrize("kind", each_algorithm(fast=["lru", "dense_rnn", "rg_lru"]))
def test_any_mask(kind, mask):
    solver, x, states = kind.solver(return_sequences=True), kind.inputs(), kind.states()
    values, gradients = solver.gradients(solver.cotangents(x), x, states, mask)
    y, last = kind.reference(solver.layer, x, states, mask)
    assert_close(values, [y, *last])
    assert not gradients["inputs"][~mask].any()


@pytest.mark.slow
@settings(deadline=None, max_examples=20)
@given(
    mask=arrays(bool, (BATCH, TIME)),
    has_state=st.booleans(),
    flags=st.sampled_from(PAIRWISE),
)
@pytest.mark.parametrize("kind", each_kind(fast=None))
def test_any_mask_in_any_direction(kind, mask, has_state, flags):
    solver = kind.solver(**dict(zip(FLAGS, flags, strict=True)))
    kind.check(solver, kind.inputs(), kind.states() if has_state else None, mask)


@pytest.mark.parametrize(
    ("kind", "mask", "return_sequences", "has_state"),
    each_kind(
        ["right", "left", "holes", "whole rows"],
        EITHER,
        EITHER,
        others=[("holes", True, True), ("left", True, False), ("right", False, False)],
        fast=[
            *[("lru", mask, True, True) for mask in ("right", "holes")],
            *[("lru", mask, False, True) for mask in ("left", "holes", "whole rows")],
            *[
                (name, "holes", True, True)
                for name in ("s4d", "s5", "dense_rnn", "rg_lru")
            ],
        ],
    ),
)
def test_masked_values_do_not_matter(kind, mask, return_sequences, has_state):
    solver = kind.solver(return_sequences=return_sequences)
    states = kind.states() if has_state else None
    mask, x = MASKS[mask], kind.inputs()
    bad = np.where(mask[..., None], x, np.nan).astype("float32")
    weights = solver.cotangents(x)
    (clean, clean_gradients), (dirty, dirty_gradients) = (
        solver.gradients(weights, each, states, mask) for each in (x, bad)
    )
    for a, b in zip(clean, dirty, strict=True):
        np.testing.assert_array_equal(a, b)
    for name, gradient in clean_gradients.items():
        np.testing.assert_array_equal(gradient, dirty_gradients[name], err_msg=name)
    assert not dirty_gradients["inputs"][~mask].any()


@pytest.mark.parametrize(
    ("kind", "return_sequences"),
    each_kind(EITHER, fast=[("lru", True), ("lru", False)]),
)
def test_same_rules_as_lstm(kind, return_sequences):
    """Where outputs repeat, and where they are zero, in Keras's own layer."""
    options = {"return_sequences": return_sequences}
    for zero_output_for_mask in EITHER:
        options["zero_output_for_mask"] = zero_output_for_mask
        lstm = keras.layers.LSTM(4, recurrent_initializer="zeros", **options)
        solver = kind.solver(**options)
        of_lstm = numpy_of(lstm(kind.inputs(), mask=MASKS["holes"]))
        check_rules(of_lstm, MASKS["holes"], **options)
        for name in ("right", "left", "holes"):
            y, *_ = solver(kind.inputs(), mask=MASKS[name])
            check_rules(y, MASKS[name], **options)


def check_rules(y, mask, return_sequences, zero_output_for_mask):
    if not return_sequences:
        expected = mask[:, -1] if zero_output_for_mask else mask.any(1)
        np.testing.assert_array_equal(y.any(-1), expected)
        return
    for t in range(TIME):
        repeats = t and not zero_output_for_mask
        before = y[:, t - 1] if repeats else 0 * y[:, t]
        masked = ~mask[:, t]
        np.testing.assert_allclose(y[masked, t], before[masked], **CLOSE)


@pytest.mark.parametrize(
    ("kind", "go_backwards"), each_kind(EITHER, others=[True], fast=[("lru", True)])
)
def test_padded_equals_unpadded(kind, go_backwards):
    solver = kind.solver(return_sequences=False, go_backwards=go_backwards)
    for name in ("right", "left", "both"):
        padded = solver(kind.inputs(), mask=MASKS[name])
        for i, keep in enumerate(MASKS[name]):
            alone = solver(kind.inputs()[i : i + 1, keep])
            assert_close([part[i : i + 1] for part in padded], alone)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_masks_of_any_type(kind):
    layer = kind.make()
    mask = MASKS["holes"]
    expected = numpy_of(layer(kind.inputs(), mask=mask))
    for other in (mask.astype("int32"), mask.astype("float32"), ops.array(mask)):
        y = layer(kind.inputs(), mask=other)
        np.testing.assert_array_equal(numpy_of(y), expected)


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "dense_rnn", "rg_lru"]))
def test_mask_over_no_steps(kind):
    mask = np.ones((BATCH, 0), bool)
    for options in ({}, {"zero_output_for_mask": True}, {"return_sequences": True}):
        layer = kind.make(return_state=True, **options)
        kind.check(layer, kind.inputs(0), kind.states(), mask)
        kind.check(layer, kind.inputs(0), mask=mask)


# Where masks come from and go to


@pytest.mark.parametrize(
    ("kind", "time", "return_sequences"),
    each_kind(
        [None, TIME],
        EITHER,
        others=[(None, True)],
        fast=[("lru", None, True), ("lru", TIME, False)],
    ),
)
def test_mask_of_a_masking_layer(kind, time, return_sequences):
    layer = kind.make(return_sequences=return_sequences)
    model = sequential(layer, time, [keras.layers.Masking(-1.0)], **COMPILED)
    for name in ("right", "holes", "everything"):
        mask = MASKS[name]
        x = np.where(mask[..., None], kind.inputs(), -1).astype("float32")
        expected = kind.outputs(layer, x, mask=mask)
        assert_close(model.predict(x, verbose=0), expected)
    assert_close(model(x), expected)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_mask_of_an_embedding(kind):
    embedding = keras.layers.Embedding(5, kind.features, mask_zero=True)
    layer = kind.make(return_sequences=True)
    tokens = np.random.default_rng(0).integers(1, 5, (BATCH, TIME)) * MASKS["holes"]
    y = keras.Sequential([embedding, layer])(tokens)
    expected = kind.outputs(layer, numpy_of(embedding(tokens)), mask=tokens != 0)
    assert_close(y, expected)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_mask_as_an_input_of_a_functional_model(kind):
    layer = kind.make(return_sequences=True)
    sequence = keras.Input((None, kind.features))
    mask = keras.Input((None,), dtype="bool")
    model = model_of([sequence, mask], layer(sequence, mask=mask))
    expected = kind.outputs(layer, kind.inputs(), mask=MASKS["left"])
    y = model.predict([kind.inputs(), MASKS["left"]], verbose=0)
    assert_close(y, expected)


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "rg_lru"]))
def test_mask_reaches_the_next_layer_of_sequences_only(kind):
    mask, x = MASKS["right"], keras.layers.Masking()(kind.inputs())
    for return_sequences in EITHER:
        layer = kind.make(return_sequences=return_sequences)
        sequence = keras.Input((None, kind.features))
        symbolic = layer(keras.layers.Masking()(sequence))
        has_mask = keras.src.backend.get_keras_mask(symbolic) is not None
        assert has_mask is return_sequences
        assert (layer.compute_mask(x, mask) is mask) is return_sequences
    layer = kind.make(return_sequences=True, return_state=True)
    assert layer.compute_mask(x, mask) == [mask, *[None] * len(kind.state_names)]


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_two_layers_under_one_mask_pool_the_unmasked_steps(kind):
    first = kind.make(return_sequences=True)
    second = kind.make(return_sequences=True, built=False)
    sequence = keras.Input((None, kind.features))
    y = second(first(keras.layers.Masking()(sequence)))
    model = model_of(sequence, keras.layers.GlobalAveragePooling1D()(y))
    mask = MASKS["right"]
    x = np.where(mask[..., None], kind.inputs(), 0).astype("float32")
    pooled = model.predict(x, verbose=0)
    for i, keep in enumerate(mask):
        alone = kind.outputs(second, kind.outputs(first, x[i : i + 1, keep]))
        assert_close(pooled[i], alone[0].mean(0))


@pytest.mark.parametrize(
    ("kind", "return_sequences", "how"),
    [
        *each_kind(
            EITHER,
            ["compiled", "XLA", "eager"],
            others=[(False, "compiled")],
            fast=[
                ("lru", True, "compiled"),
                ("dense_rnn", False, "compiled"),
                ("rg_lru", False, "compiled"),
            ],
        ),
        *each_kind([False], ["XLA"], names=["s4d", "dense_rnn", "rg_lru"], fast=[]),
        *each_kind([True], ["eager"], names=["dense_rnn", "rg_lru"], fast=[]),
    ],
)
def test_training_under_a_mask_changes_every_weight(kind, return_sequences, how):
    options = {
        "compiled": COMPILED,
        "XLA": {"jit_compile": True},
        "eager": {"run_eagerly": True},
    }[how]
    layer = kind.make(return_sequences=return_sequences)
    model = sequential(
        layer,
        before=[keras.layers.Masking()],
        optimizer=keras.optimizers.SGD(0.1),
        loss="mse",
        **options,
    )
    before = layer.get_weights()
    x = np.where(MASKS["holes"][..., None], kind.inputs(), 0).astype("float32")
    target = np.zeros(layer.compute_output_shape(x.shape))
    losses = [model.train_on_batch(x, target) for _ in range(2)]
    assert losses[1] < losses[0]
    for old, new in zip(before, layer.weights, strict=True):
        assert np.isfinite(numpy_of(new)).all(), new.path
        assert not np.array_equal(old, numpy_of(new)), new.path
