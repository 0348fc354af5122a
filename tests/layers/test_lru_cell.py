"""The cell: one step, and in Keras's own loop over time."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.layers import LRU, LRUCell

from .lru_reference import (
    BATCH,
    CLOSE,
    FEATURES,
    MASKS,
    STATES,
    TIME,
    UNITS,
    WEIGHTS,
    initial_state,
    inputs,
    make,
    numpy_of,
    reference,
)


def make_cell(**kwargs):
    return LRUCell(**{"units": UNITS, "state_size": STATES, "seed": 1, **kwargs})


def pair(options=None, **kwargs):
    """`RNN(LRUCell)` and an `LRU` with its weights."""
    options = {"return_sequences": True, "return_state": True, **(options or {})}
    rnn = keras.layers.RNN(make_cell(**kwargs), **options)
    rnn.build((BATCH, None, FEATURES))
    layer = make(**options, **{**kwargs, "seed": 2})
    layer.set_weights(rnn.get_weights())
    return rnn, layer


@pytest.mark.parametrize("feedthrough", ["auto", "none"])
@pytest.mark.parametrize("parameterization", ["stable_exp", "exp", "real_imag"])
def test_steps_give_the_whole_sequence(parameterization, feedthrough):
    cell = make_cell(parameterization=parameterization, feedthrough=feedthrough)
    states, outputs = initial_state(), []
    for t in range(TIME):
        y, states = cell(inputs()[:, t], states)
        outputs.append(numpy_of(y))
    layer = make(
        parameterization=parameterization,
        feedthrough=feedthrough,
        return_sequences=True,
    )
    layer.set_weights(cell.get_weights())
    expected, last = reference(layer, inputs(), initial_state())
    np.testing.assert_allclose(np.stack(outputs, 1), expected, **CLOSE)
    np.testing.assert_allclose(list(map(numpy_of, states)), last, **CLOSE)


@pytest.mark.parametrize("go_backwards", [True, False])
def test_loop_over_the_cell_equals_the_layer(go_backwards):
    rnn, layer = pair({"go_backwards": go_backwards})
    for state in (None, initial_state()):
        for a, b in zip(
            rnn(inputs(), initial_state=state),
            layer(inputs(), initial_state=state),
            strict=True,
        ):
            np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


def test_weights_move_both_ways():
    rnn, layer = pair()
    assert [w.name for w in rnn.weights] == [w.name for w in layer.weights] == WEIGHTS
    other = make(seed=5)
    rnn.set_weights(other.get_weights())
    for a, b in zip(rnn.get_weights(), other.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_same_seed_same_weights_as_the_layer():
    cell = make_cell()
    cell.build((None, FEATURES))
    for a, b in zip(cell.get_weights(), make().get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("kind", ["left", "holes"])
def test_loop_under_masks_with_zero_outputs(kind):
    rnn, layer = pair({"zero_output_for_mask": True})
    for a, b in zip(
        rnn(inputs(), mask=MASKS[kind]), layer(inputs(), mask=MASKS[kind]), strict=True
    ):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


def test_known_keras_bug_loop_under_masks_on_jax(backend):
    """Keras 3.15 on JAX takes `states[0]` for the output of the step before.

    Once this fails on JAX, the limit in the docstring of `LRUCell` can go.
    """
    rnn, layer = pair(state_size=UNITS)
    y = numpy_of(rnn(inputs(), mask=MASKS["right"])[0])
    expected = numpy_of(layer(inputs(), mask=MASKS["right"])[0])
    assert np.allclose(y, expected, **CLOSE) == (backend != "jax")


def test_stacked_cells_equal_stacked_layers():
    cells = [make_cell(), make_cell(units=2, state_size=6, seed=2)]
    rnn = keras.layers.RNN(
        keras.layers.StackedRNNCells(cells), return_sequences=True, return_state=True
    )
    y, *states = rnn(inputs())
    layers = [make(return_sequences=True), LRU(2, 6, return_sequences=True)]
    layers[1].build((None, None, UNITS))
    expected, last = inputs(), []
    for layer, cell in zip(layers, cells, strict=True):
        layer.set_weights(cell.get_weights())
        expected, state = reference(layer, expected)
        last.append(state)
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)
    for found, state in zip(states, last, strict=True):
        np.testing.assert_allclose(list(map(numpy_of, found)), state, **CLOSE)


def test_bidirectional_loop():
    wrapper = keras.layers.Bidirectional(
        keras.layers.RNN(make_cell(), return_sequences=True)
    )
    assert wrapper(inputs()).shape == (BATCH, TIME, 2 * UNITS)


def test_stateful_loop():
    rnn, layer = pair({"stateful": True})
    for each in (rnn, layer):
        each(inputs())
    for a, b in zip(rnn.states, layer.states, strict=True):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


def test_model_with_the_cell_reloads(tmp_path):
    rnn, _ = pair()
    sequence = keras.Input((None, FEATURES))
    model = keras.Model(sequence, rnn(sequence))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for a, b in zip(loaded(inputs()), model(inputs()), strict=True):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


def test_sizes():
    cell = make_cell()
    assert (cell.state_size, cell.output_size) == ([STATES, STATES], UNITS)
    assert LRUCell(5).state_size == [5, 5]
    assert cell.compute_output_shape((8, FEATURES)) == (
        (8, UNITS),
        [(8, STATES), (8, STATES)],
    )
    assert [s.shape for s in cell.get_initial_state(8)] == [(8, STATES)] * 2


def test_config_round_trip():
    cell = make_cell(
        r_min=0.5,
        parameterization="exp",
        input_initializer="ones",
        output_regularizer=keras.regularizers.L2(0.1),
        feedthrough_constraint="non_neg",
        dtype="mixed_bfloat16",
    )
    copy = LRUCell.from_config(cell.get_config())
    assert copy.get_config() == cell.get_config()
    assert copy.compute_dtype == "bfloat16"
    assert keras.saving.get_registered_name(LRUCell) == "keras_lru>LRUCell"


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_bfloat16",
        "float16",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
    ],
)
def test_half(policy):
    cell = make_cell(dtype=policy)
    x, half = inputs()[:, 0], policy.removeprefix("mixed_")
    y, states = cell(x, cell.get_initial_state(BATCH))
    assert keras.backend.standardize_dtype(y.dtype) == half
    assert {w.dtype for w in cell.weights} == {"float32"}
    assert {keras.backend.standardize_dtype(s.dtype) for s in states} == {"float32"}
    _, states = cell(x, [ops.cast(s, half) for s in states])
    assert {keras.backend.standardize_dtype(s.dtype) for s in states} == {half}
    # Keras's loop rounds the state to the compute dtype between the steps.
    rnn = keras.layers.RNN(cell)
    layer = make(dtype=policy)
    np.testing.assert_allclose(
        numpy_of(rnn(inputs())), numpy_of(layer(inputs())), atol=0.1
    )


def test_training_the_loop():
    model = keras.Sequential(
        [keras.Input((TIME, FEATURES)), keras.layers.RNN(make_cell())]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    model.train_on_batch(inputs(), np.zeros((BATCH, UNITS)))
    for old, new in zip(before, model.get_weights(), strict=True):
        assert np.isfinite(new).all()
        assert not np.array_equal(old, new)


def test_eigenvalues_of_an_unbuilt_cell():
    with pytest.raises(ValueError, match="do not exist yet"):
        _ = make_cell().eigenvalues
