"""The layers inside Keras's wrappers, and the library's."""

import keras
import numpy as np
import pytest

from keras_lru.export import export_saved_model
from keras_lru.layers import ResidualBlock
from keras_lru.models import LRUBackbone

from ..export.serving import TensorFlowAlone
from .kinds import KINDS, each_kind
from .sequences import (
    BATCH,
    MASKS,
    SOON,
    TIME,
    WIDTH,
    assert_close,
    assert_same,
    model_of,
    normal,
    numpy_of,
)

MERGE = {
    "sum": np.add,
    "mul": np.multiply,
    "ave": lambda a, b: (a + b) / 2,
    "concat": lambda a, b: np.concatenate([a, b], -1),
    None: lambda a, b: [a, b],
}
EITHER = [True, False]
lru_first = pytest.mark.parametrize("kind", each_kind(fast=["lru"]))


def bidirectional(kind, merge_mode="concat", **kwargs):
    wrapper = keras.layers.Bidirectional(
        kind.make(built=False, **{"seed": None, **kwargs}), merge_mode=merge_mode
    )
    wrapper.build((BATCH, None, kind.features))
    return wrapper


def expected_of(kind, wrapper, x, states=(None, None), mask=None):
    """Outputs in the order of time, and last states, of both directions."""
    forward, last = kind.reference(wrapper.forward_layer, x, states[0], mask)
    backward, first = kind.reference(wrapper.backward_layer, x, states[1], mask)
    if backward.ndim == 3:
        backward = backward[:, ::-1]
    return MERGE[wrapper.merge_mode](forward, backward), [*last, *first]


@pytest.mark.parametrize(
    ("kind", "return_sequences"), each_kind(EITHER, others=[True], fast=[("lru", True)])
)
def test_bidirectional(kind, return_sequences):
    for merge_mode in MERGE:
        wrapper = bidirectional(kind, merge_mode, return_sequences=return_sequences)
        expected, _ = expected_of(kind, wrapper, kind.inputs())
        assert_close(wrapper(kind.inputs()), expected)


@pytest.mark.parametrize(
    ("kind", "return_sequences"),
    each_kind(EITHER, others=[False], fast=[("lru", False)]),
)
def test_bidirectional_under_masks(kind, return_sequences):
    wrapper = bidirectional(kind, return_sequences=return_sequences)
    for name in ("right", "left", "holes", "whole rows"):
        expected, _ = expected_of(kind, wrapper, kind.inputs(), mask=MASKS[name])
        assert_close(wrapper(kind.inputs(), mask=MASKS[name]), expected)


@lru_first
def test_bidirectional_states(kind):
    wrapper = bidirectional(kind, return_sequences=True, return_state=True)
    both = kind.states(seed=1), kind.states(seed=2)
    mask = MASKS["right"]
    expected, last = expected_of(kind, wrapper, kind.inputs(), both, mask)
    found = wrapper(kind.inputs(), initial_state=[*both[0], *both[1]], mask=mask)
    assert_close(list(found), [expected, *last])


@pytest.mark.parametrize(
    ("kind", "merge_mode"),
    each_kind(["sum", "concat"], others=["concat"], fast=[("lru", "sum")]),
)
def test_bidirectional_in_a_functional_model(kind, merge_mode):
    wrapper = bidirectional(kind, merge_mode, return_sequences=True)
    sequence = keras.Input((None, kind.features))
    y = wrapper(keras.layers.Masking()(sequence))
    width = 2 * kind.units if merge_mode == "concat" else kind.units
    assert y.shape == (None, None, width)
    mask = MASKS["right"]
    x = np.where(mask[..., None], kind.inputs(), 0).astype("float32")
    expected, _ = expected_of(kind, wrapper, x, mask=mask)
    assert_close(model_of(sequence, y).predict(x, verbose=0), expected)


@lru_first
def test_bidirectional_with_a_backward_layer_of_ones_own(kind):
    wrapper = keras.layers.Bidirectional(
        kind.make(built=False),
        backward_layer=kind.make(built=False, seed=2, go_backwards=True),
    )
    y = wrapper(kind.inputs())
    expected, _ = expected_of(kind, wrapper, kind.inputs())
    assert_close(y, expected)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_directions_have_weights_of_their_own(kind):
    wrapper = bidirectional(kind)
    both = wrapper.forward_layer, wrapper.backward_layer
    for a, b in zip(*(layer.weights for layer in both), strict=True):
        assert np.allclose(numpy_of(a), numpy_of(b)) == (a.name in kind.fixed), a.name
    assert len(wrapper.trainable_weights) == 2 * len(kind.weights)
    assert wrapper.count_params() == 2 * kind.make().count_params()
    sizes = [kind.num_states] * len(kind.state_names)
    assert wrapper.forward_layer.state_size == sizes


@lru_first
def test_bidirectional_reloads(kind, tmp_path):
    sequence = keras.Input((None, kind.features))
    model = keras.Model(sequence, bidirectional(kind, return_sequences=True)(sequence))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded(kind.inputs()), model(kind.inputs()))


@pytest.mark.parametrize(
    ("kind", "return_sequences"),
    each_kind(EITHER, others=[True], fast=[("lru", True), ("lru", False)]),
)
def test_time_distributed(kind, return_sequences):
    layer = kind.make(return_sequences=return_sequences)
    x = np.stack([kind.inputs(seed=seed) for seed in range(2)], axis=1)
    y = keras.layers.TimeDistributed(layer)(x)
    expected = [kind.outputs(layer, x[:, i]) for i in range(2)]
    assert_close(y, np.stack(expected, axis=1))


# In the library's blocks and models


@pytest.mark.parametrize("kind", each_kind(fast=["rg_lru"]))
def test_bidirectional_block_under_a_mask(kind):
    template = kind.make(built=False, units=WIDTH, return_sequences=True)
    block = ResidualBlock(template, bidirectional=True, normalization=None)
    x = normal(BATCH, TIME, WIDTH)
    y = block(x, mask=MASKS["right"])
    keep = MASKS["right"][1]
    alone = block(x[1:2, keep])
    assert_close(numpy_of(y)[1, keep], numpy_of(alone)[0])


@pytest.mark.parametrize("kind", each_kind(fast=["dense_rnn"]))
def test_training_a_bidirectional_block(kind):
    layer = kind.make(built=False, units=WIDTH, return_sequences=True)
    block = ResidualBlock(layer, bidirectional=True)
    model = keras.Sequential([keras.Input((TIME, WIDTH)), block])
    model.compile(keras.optimizers.SGD(0.1), "mse", **SOON)
    before = model.get_weights()
    x = normal(BATCH, TIME, WIDTH)
    losses = [model.train_on_batch(x, np.zeros_like(x)) for _ in range(2)]
    assert losses[1] < losses[0]
    for old, new in zip(before, model.weights, strict=True):
        assert not np.array_equal(old, numpy_of(new)), new.path


@pytest.mark.parametrize("kind", each_kind(fast=["dense_rnn"]))
def test_backbone_learns_and_reloads(kind, tmp_path):
    template = kind.make(built=False, units=WIDTH, return_sequences=True, seed=None)
    model = LRUBackbone(2, WIDTH, recurrence=template, dropout=0.1, seed=0)
    model.compile("adam", "mse", **SOON)
    x = normal(BATCH, TIME, WIDTH)
    history = model.fit(x, np.zeros_like(x), verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    first, second = (block.recurrence for block in model.blocks)
    assert isinstance(first, kind.layer)
    drawn = next(i for i, name in enumerate(kind.weights) if name not in kind.fixed)
    a, b = (layer.get_weights()[drawn] for layer in (first, second))
    assert not np.allclose(a, b, atol=0.05)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(x), model(x))


# Serving


@pytest.mark.slow
def test_streams_of_all_kinds_are_served_without_us(tmp_path):
    """One after the other, in steps and in chunks, under a mask."""
    model = keras.Sequential([keras.Input((None, WIDTH)), keras.layers.Masking()])
    for kind in KINDS.values():
        model.add(kind.make(built=False, units=WIDTH, return_sequences=True))
    x = normal(BATCH, 20, WIDTH)
    x[:, ::3] = 0.0
    export_saved_model(model, tmp_path / "model", verbose=False)
    ways = ([None] * 20, [1, 7, None, 11])
    with TensorFlowAlone() as process:
        served, *streamed = (
            process.serve(tmp_path / "model", x, sizes) for sizes in (None, *ways)
        )
        assert process.complaints() == []
    expected = x
    for kind, layer in zip(KINDS.values(), model.layers[1:], strict=True):
        expected = kind.outputs(layer, expected, mask=x.any(-1))
    # Of five layers, each with the errors of those before it.
    close = {"rtol": 1e-3, "atol": 1e-4}
    assert_close(served, expected, close)
    for pieces, sizes in zip(streamed, ways, strict=True):
        outputs = [piece["outputs"] for piece in pieces]
        steps = [
            y[:, None] if n is None else y for y, n in zip(outputs, sizes, strict=True)
        ]
        assert_close(np.concatenate(steps, 1), expected, close)
