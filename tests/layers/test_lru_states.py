"""Initial states, returned states, stateful layers, sequences in pieces."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

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

pytestmark = pytest.mark.usefixtures("algorithm")


def states_of(layer):
    return [numpy_of(state) for state in layer.states]


def stateful_model(time=None, **kwargs):
    layer = make(built=False, stateful=True, return_sequences=True, **kwargs)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, time, FEATURES)), layer])
    return model, layer


# Initial and last state


@pytest.mark.parametrize("kind", ["numpy", "tensors", "tuple", "float64"])
def test_initial_state_of_any_kind(kind):
    layer = make()
    state = initial_state()
    expected, _ = reference(layer, inputs(), state)
    if kind == "tensors":
        state = [ops.convert_to_tensor(part) for part in state]
    elif kind == "tuple":
        state = tuple(state)
    elif kind == "float64":
        state = [part.astype("float64") for part in state]
    y = layer(inputs(), initial_state=state)
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


def test_no_initial_state_is_zeros():
    layer = make(return_state=True)
    zeros = layer.get_initial_state(BATCH)
    assert [part.shape for part in zeros] == [(BATCH, STATES)] * 2
    for a, b in zip(layer(inputs()), layer(inputs(), initial_state=zeros), strict=True):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


@pytest.mark.parametrize("time", [None, TIME])
def test_states_as_inputs_and_outputs_of_a_functional_model(time):
    layer = make(return_state=True, return_sequences=True)
    sequence = keras.Input((time, FEATURES))
    state = [keras.Input((STATES,)) for _ in range(2)]
    outputs = layer(sequence, initial_state=state)
    assert [tuple(y.shape) for y in outputs] == [
        (None, time, UNITS),
        (None, STATES),
        (None, STATES),
    ]
    model = keras.Model([sequence, *state], outputs)
    expected, last = reference(layer, inputs(), initial_state())
    found = model.predict([inputs(), *initial_state()], verbose=0)
    for a, b in zip(found, [expected, *last], strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


def test_one_layer_starts_from_the_state_of_another():
    encoder, decoder = make(return_state=True), make(return_sequences=True, seed=2)
    source, target = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    _, *state = encoder(source)
    model = keras.Model([source, target], decoder(target, initial_state=state))
    _, last = reference(encoder, inputs(5))
    expected, _ = reference(decoder, inputs(3, seed=9), last)
    y = model.predict([inputs(5), inputs(3, seed=9)], verbose=0)
    np.testing.assert_allclose(y, expected, **CLOSE)


@settings(deadline=None, max_examples=10)
@given(
    cuts=st.lists(st.integers(0, TIME), max_size=3),
    masked=st.booleans(),
    block_size=st.sampled_from(["auto", 1, 3]),
)
def test_any_split_gives_the_whole(cuts, masked, block_size):
    layer = make(return_sequences=True, return_state=True, block_size=block_size)
    mask = MASKS["holes"] if masked else None
    expected, last = reference(layer, inputs(), initial_state(), mask)
    if masked:
        # The output before the first step of a piece is not known to the piece.
        layer = make(
            return_sequences=True, return_state=True, zero_output_for_mask=True
        )
        expected = expected * mask[..., None]
    state, pieces = initial_state(), []
    bounds = [0, *sorted(cuts), TIME]
    for start, stop in itertools.pairwise(bounds):
        part = None if mask is None else mask[:, start:stop]
        y, *state = layer(inputs()[:, start:stop], initial_state=state, mask=part)
        pieces.append(numpy_of(y))
    np.testing.assert_allclose(np.concatenate(pieces, 1), expected, **CLOSE)
    np.testing.assert_allclose(list(map(numpy_of, state)), last, **CLOSE)


# Stateful layers


def test_stateful_layer_called_in_pieces():
    layer = make(stateful=True, return_sequences=True)
    expected, last = reference(layer, inputs())
    pieces = [layer(inputs()[:, :3]), layer(inputs()[:, 3:4]), layer(inputs()[:, 4:])]
    found = np.concatenate(list(map(numpy_of, pieces)), axis=1)
    np.testing.assert_allclose(found, expected, **CLOSE)
    np.testing.assert_allclose(states_of(layer), last, **CLOSE)


def test_a_row_of_states_belongs_to_a_row_of_the_batch():
    layer = make(stateful=True)
    layer(inputs())
    kept = states_of(layer)
    nothing = np.zeros((BATCH, TIME), bool)
    nothing[1] = True
    layer(inputs(), mask=nothing)
    for before, after in zip(kept, states_of(layer), strict=True):
        np.testing.assert_allclose(after[[0, 2]], before[[0, 2]], **CLOSE)
        assert not np.allclose(after[1], before[1])


@pytest.mark.parametrize("reset", ["reset_state", "reset_states"])
def test_reset(reset):
    layer = make(stateful=True)
    first = numpy_of(layer(inputs()))
    assert not np.allclose(numpy_of(layer(inputs())), first)
    getattr(layer, reset)()
    assert not np.any(states_of(layer))
    np.testing.assert_array_equal(numpy_of(layer(inputs())), first)


def test_reset_of_other_layers_does_nothing():
    make().reset_state()
    make(stateful=True, built=False).reset_state()


def test_given_initial_state_goes_before_the_kept_one():
    layer = make(stateful=True)
    layer(inputs(seed=5))
    expected, last = reference(layer, inputs(), initial_state())
    y = layer(inputs(), initial_state=initial_state())
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)
    np.testing.assert_allclose(states_of(layer), last, **CLOSE)


@pytest.mark.parametrize("run_eagerly", [True, False])
def test_stateful_under_predict(run_eagerly):
    model, layer = stateful_model()
    model.compile(run_eagerly=run_eagerly)
    expected, last = reference(layer, inputs())
    pieces = [
        model.predict(x, batch_size=BATCH, verbose=0)
        for x in (inputs()[:, :3], inputs()[:, 3:])
    ]
    np.testing.assert_allclose(np.concatenate(pieces, 1), expected, **CLOSE)
    np.testing.assert_allclose(states_of(layer), last, **CLOSE)
    layer.reset_state()
    again = model.predict(inputs()[:, :3], batch_size=BATCH, verbose=0)
    np.testing.assert_allclose(again, pieces[0], **CLOSE)


def test_batches_of_one_predict_are_consecutive():
    model, layer = stateful_model()
    expected, _ = reference(layer, inputs())
    batches = np.concatenate([inputs()[:, :4], inputs()[:, 4:5].repeat(4, 1)])
    y = model.predict(batches, batch_size=BATCH, verbose=0)
    np.testing.assert_allclose(y[BATCH:, 0], expected[:, 4], **CLOSE)


@pytest.mark.parametrize("method", ["fit", "evaluate", "train_on_batch"])
def test_stateful_under_training(method):
    model, layer = stateful_model()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    _, last = reference(layer, inputs())
    target = np.zeros((BATCH, TIME, UNITS))
    if method == "fit":
        model.fit(inputs(), target, batch_size=BATCH, shuffle=False, verbose=0)
    elif method == "evaluate":
        model.evaluate(inputs(), target, batch_size=BATCH, verbose=0)
    else:
        model.train_on_batch(inputs(), target)
    np.testing.assert_allclose(states_of(layer), last, **CLOSE)


def test_reset_by_a_callback_at_the_end_of_each_epoch():
    model, layer = stateful_model()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    reset = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: layer.reset_state()
    )
    target = np.zeros((BATCH, TIME, UNITS))
    model.fit(
        inputs(),
        target,
        epochs=2,
        batch_size=BATCH,
        verbose=0,
        shuffle=False,
        callbacks=[reset],
    )
    _, last = reference(layer, inputs())
    np.testing.assert_allclose(states_of(layer), last, **CLOSE)


def test_kept_states_are_variables_but_no_weights():
    layer = make(stateful=True, name="lru")
    assert [w.name for w in layer.weights] == WEIGHTS
    extra = [v for v in layer.variables if v.name not in WEIGHTS]
    assert [v.path for v in extra] == ["lru/x_re", "lru/x_im"]
    assert [v.path for v in layer.non_trainable_variables] == [v.path for v in extra]
    assert not layer.non_trainable_weights


def test_weights_move_between_stateful_and_stateless(tmp_path):
    stateless = keras.Sequential([keras.Input((None, FEATURES)), make(built=False)])
    model, layer = stateful_model(seed=2)
    layer(inputs())
    stateless.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(stateless.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    layer.set_weights(stateless.layers[0].get_weights())


def test_stateful_model_reloads_with_a_zero_state(tmp_path):
    model, _ = stateful_model()
    first = numpy_of(model(inputs()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not np.any(states_of(loaded.layers[0]))
    np.testing.assert_allclose(numpy_of(loaded(inputs())), first, **CLOSE)


def test_stateful_bidirectional():
    wrapper = keras.layers.Bidirectional(
        make(built=False, stateful=True, return_sequences=True)
    )
    wrapper(inputs())
    first = numpy_of(wrapper(inputs()))
    wrapper.reset_state()
    wrapper(inputs())
    np.testing.assert_allclose(numpy_of(wrapper(inputs())), first, **CLOSE)


def test_known_keras_bug_stateful_lstm_on_jax(backend):
    """Keras 3.15: no LSTM keeps its state under `predict` on JAX. `LRU` does."""
    lstm = keras.layers.LSTM(UNITS, stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, None, FEATURES)), lstm])
    model.predict(inputs(), batch_size=BATCH, verbose=0)
    assert np.any(states_of(lstm)) == (backend != "jax")
