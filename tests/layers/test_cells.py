"""The cells: one step, and in Keras's own loop over time."""

import keras
import numpy as np
import pytest
from keras import ops

from .kinds import KINDS, each_kind
from .sequences import (
    ALL,
    BATCH,
    CLOSE,
    HALF_CLOSE,
    MASKS,
    SOON,
    TIME,
    WIDTH,
    assert_close,
    dtype_of,
    model_of,
    normal,
    numpy_of,
    numpy_of_all,
)

each = pytest.mark.parametrize("kind", each_kind(fast=None))
lru_first = pytest.mark.parametrize("kind", each_kind(fast=["lru"]))


def pair(kind, options=None, **kwargs):
    """`RNN(cell)`, and a layer with its weights."""
    options = {**ALL, **(options or {})}
    rnn = keras.layers.RNN(kind.make_cell(**kwargs), **options)
    rnn.build((BATCH, None, kind.features))
    layer = kind.make(**options, **{**kwargs, "seed": 2})
    layer.set_weights(rnn.get_weights())
    return rnn, layer


@each
def test_steps_give_the_whole_sequence(kind):
    cell = kind.make_cell()
    states, outputs = kind.states(), []
    for t in range(TIME):
        y, states = cell(kind.inputs()[:, t], states)
        outputs.append(numpy_of(y))
    layer = kind.make(return_sequences=True, seed=2)
    layer.set_weights(cell.get_weights())
    expected, last = kind.reference(layer, kind.inputs(), kind.states())
    assert_close([np.stack(outputs, 1), *states], [expected, *last])


@pytest.mark.parametrize(
    ("kind", "go_backwards"),
    [*each_kind([False], fast=None), *each_kind([True], fast=[("lru", True)])],
)
def test_loop_over_the_cell_equals_the_layer(kind, go_backwards):
    rnn, layer = pair(kind, {"go_backwards": go_backwards})
    expected, last = kind.reference(layer, kind.inputs(), kind.states())
    y = rnn(kind.inputs(), initial_state=kind.states())
    assert_close(list(y), [expected, *last])


@each
def test_weights_move_between_loop_and_layer(kind):
    rnn, layer = pair(kind)
    assert [w.name for w in rnn.weights] == [w.name for w in layer.weights]
    assert [w.name for w in rnn.weights] == kind.weights
    other = kind.make(seed=5)
    rnn.set_weights(other.get_weights())
    for a, b in zip(rnn.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@each
def test_same_seed_same_weights_as_the_layer(kind):
    cell = kind.make_cell()
    cell.build((None, kind.features))
    for a, b in zip(cell.get_weights(), kind.make().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("kind", "mask"),
    each_kind(["left", "holes"], others=["holes"], fast=[("lru", "holes")]),
)
def test_loop_under_masks_with_zero_outputs(kind, mask):
    rnn, layer = pair(kind, {"zero_output_for_mask": True})
    expected, last = kind.reference(layer, kind.inputs(), mask=MASKS[mask])
    assert_close(list(rnn(kind.inputs(), mask=MASKS[mask])), [expected, *last])


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "rg_lru"]))
def test_known_keras_bug_loop_under_masks_on_jax(kind, backend):
    """Keras 3.15 on JAX takes `states[0]` for the output of the step before.

    Once this fails on JAX, the limit in the docstrings of the cells can go.
    """
    rnn, layer = pair(kind, **kind.wide)
    y = numpy_of(rnn(kind.inputs(), mask=MASKS["right"])[0])
    expected = kind.outputs(layer, kind.inputs(), mask=MASKS["right"])
    right = backend != "jax" or kind.state_is_output
    assert np.allclose(y, expected, **CLOSE) == right


@lru_first
def test_stacked_cells_equal_stacked_layers(kind):
    cells = [kind.make_cell(units=WIDTH, seed=seed) for seed in (1, 2)]
    rnn = keras.layers.RNN(keras.layers.StackedRNNCells(cells), **ALL)
    x = normal(BATCH, TIME, WIDTH)
    y, *states = rnn(x)
    expected, last = x, []
    for cell in cells:
        layer = kind.make(units=WIDTH, features=WIDTH, return_sequences=True)
        layer.set_weights(cell.get_weights())
        expected, state = kind.reference(layer, expected)
        last.append(state)
    assert_close(y, expected)
    for found, state in zip(states, last, strict=True):
        assert_close(list(found), state)


@lru_first
def test_bidirectional_loop(kind):
    wrapper = keras.layers.Bidirectional(
        keras.layers.RNN(kind.make_cell(), return_sequences=True)
    )
    y = wrapper(kind.inputs())
    halves = []
    for rnn in (wrapper.forward_layer, wrapper.backward_layer):
        layer = kind.make(return_sequences=True, go_backwards=rnn.go_backwards)
        layer.set_weights(rnn.get_weights())
        half = kind.outputs(layer, kind.inputs())
        halves.append(half[:, ::-1] if rnn.go_backwards else half)
    assert_close(y, np.concatenate(halves, -1))


@lru_first
def test_stateful_loop(kind):
    rnn, layer = pair(kind, {"stateful": True})
    rnn(kind.inputs())
    _, last = kind.reference(layer, kind.inputs())
    assert_close(list(rnn.states), last)


@lru_first
def test_model_with_the_cell_reloads(kind, tmp_path):
    rnn, _ = pair(kind)
    sequence = keras.Input((None, kind.features))
    model = keras.Model(sequence, rnn(sequence))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(list(loaded(kind.inputs())), list(model(kind.inputs())))


@each
def test_sizes(kind):
    cell, count = kind.make_cell(), len(kind.state_names)
    assert cell.state_names == kind.state_names
    assert cell.state_size == [kind.num_states] * count
    assert cell.output_size == kind.units
    states = [(8, kind.num_states)] * count
    assert cell.compute_output_shape((8, kind.features)) == ((8, kind.units), states)
    zeros = cell.get_initial_state(8)
    assert [tuple(s.shape) for s in zeros] == states
    assert not np.any(numpy_of_all(zeros))


@pytest.mark.parametrize(
    ("kind", "policy"),
    each_kind(
        ["float32", "mixed_bfloat16"],
        others=["mixed_bfloat16"],
        fast=[("lru", "float32"), *[(name, "mixed_bfloat16") for name in KINDS]],
    ),
)
def test_step_of_a_functional_model(kind, policy):
    cell = kind.make_cell(dtype=policy)
    inputs = keras.Input((kind.features,))
    states = [keras.Input((n,)) for n in cell.state_size]
    y, new = cell(inputs, states)
    assert (y.shape, y.dtype) == ((None, kind.units), cell.compute_dtype)
    assert [(s.shape, s.dtype) for s in new] == [(s.shape, s.dtype) for s in states]
    model = model_of([inputs, *states], [y, *new])
    arrays = [kind.inputs()[:, 0], *kind.states()]
    found = model.predict_on_batch(arrays)
    y, new = cell(arrays[0], arrays[1:])
    assert [x.dtype for x in found] == [cell.compute_dtype, *["float32"] * len(new)]
    close = CLOSE if policy == "float32" else HALF_CLOSE["bfloat16"]
    assert_close(found, [y, *new], close)


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "rg_lru"]))
def test_cell_keeps_the_dtype_of_a_state(kind):
    cell = kind.make_cell(dtype="mixed_bfloat16")
    for dtype in ("float32", "bfloat16"):
        states = [ops.cast(state, dtype) for state in kind.states()]
        y, new = cell(kind.inputs()[:, 0], states)
        assert dtype_of(y) == "bfloat16"
        assert {dtype_of(state) for state in new} == {dtype}


@pytest.mark.parametrize(
    ("kind", "policy"),
    each_kind(
        ["mixed_bfloat16", "float16", "mixed_float16"],
        others=["mixed_bfloat16"],
        fast=[("lru", "mixed_bfloat16")],
    ),
)
def test_half(kind, policy):
    cell = kind.make_cell(dtype=policy)
    y, states = cell(kind.inputs()[:, 0], cell.get_initial_state(BATCH))
    assert dtype_of(y) == policy.removeprefix("mixed_")
    assert {w.dtype for w in cell.weights} == {"float32"}
    assert {dtype_of(s) for s in states} == {"float32"}
    layer = kind.make(seed=2)
    layer.set_weights(cell.get_weights())
    # Keras's loop rounds the state to the compute dtype between the steps.
    y = keras.layers.RNN(cell)(kind.inputs())
    np.testing.assert_allclose(
        numpy_of(y), kind.outputs(layer, kind.inputs()), atol=0.1, rtol=0.02
    )


@lru_first
def test_training_the_loop(kind):
    sequence = keras.Input((TIME, kind.features))
    model = keras.Model(sequence, keras.layers.RNN(kind.make_cell())(sequence))
    model.compile(keras.optimizers.SGD(0.1), "mse", **SOON)
    before = model.get_weights()
    model.train_on_batch(kind.inputs(), np.zeros((BATCH, kind.units)))
    for old, new in zip(before, model.weights, strict=True):
        assert np.isfinite(numpy_of(new)).all(), new.path
        assert not np.array_equal(old, numpy_of(new)), new.path
