"""Initial states, returned states, stateful layers, sequences in pieces."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops

from .kinds import KINDS, each_algorithm, each_kind
from .sequences import (
    ALL,
    BATCH,
    COMPILED,
    MASKS,
    SOON,
    TIME,
    assert_close,
    model_of,
    numpy_of,
    numpy_of_all,
    sequential,
    weights_of,
)


def stateful_model(kind, time=None, options=COMPILED, **kwargs):
    layer = kind.make(built=False, stateful=True, return_sequences=True, **kwargs)
    model = keras.Sequential(
        [keras.Input(batch_shape=(BATCH, time, kind.features)), layer]
    )
    model.compile(keras.optimizers.SGD(0.0), "mse", **options)
    return model, layer


# Initial and last state


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_initial_state_of_any_type(kind):
    layer = kind.make()
    states = kind.states()
    expected = kind.outputs(layer, kind.inputs(), states)
    for given_states in (
        states,
        tuple(states),
        [ops.convert_to_tensor(part) for part in states],
        [part.astype("float64") for part in states],
    ):
        y = layer(kind.inputs(), initial_state=given_states)
        assert_close(y, expected)


@pytest.mark.parametrize(
    "kind",
    each_kind(fast=None, names=[n for n in KINDS if len(KINDS[n].state_names) == 1]),
)
def test_initial_state_without_a_list(kind):
    """As `keras.layers.GRU` takes it."""
    layer = kind.make()
    (state,) = kind.states()
    expected = kind.outputs(layer, kind.inputs(), [state])
    y = layer(kind.inputs(), initial_state=ops.convert_to_tensor(state))
    assert_close(y, expected)


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "rg_lru"]))
def test_one_initial_state_for_all_sequences(kind):
    solver, one = kind.solver(return_sequences=True), kind.states(batch=1)
    states = [np.repeat(part, BATCH, axis=0) for part in one]
    for mask in (None, MASKS["holes"]):
        y, last = kind.reference(solver.layer, kind.inputs(), states, mask)
        assert_close(solver(kind.inputs(), one, mask), [y, *last])
    x = kind.inputs()[:, 0]
    found, expected = (solver.layer.cell(x, each) for each in (one, states))
    assert_close([found[0], *found[1]], [expected[0], *expected[1]])


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "rg_lru"]))
def test_no_initial_state_is_zeros(kind):
    solver = kind.solver(return_sequences=False)
    zeros = solver.layer.get_initial_state(BATCH)
    shapes = [tuple(part.shape) for part in zeros]
    assert shapes == [(BATCH, kind.num_states)] * len(kind.state_names)
    assert not np.any(numpy_of_all(zeros))
    assert_close(solver(kind.inputs()), solver(kind.inputs(), initial_state=zeros))


@pytest.mark.parametrize(
    ("kind", "time"),
    each_kind([None, TIME], fast=[("lru", TIME), *[(name, None) for name in KINDS]]),
)
def test_states_as_inputs_and_outputs_of_a_functional_model(kind, time):
    layer = kind.make(**ALL)
    sequence = keras.Input((time, kind.features))
    states = [keras.Input((kind.num_states,)) for _ in kind.state_names]
    outputs = layer(sequence, initial_state=states)
    assert [tuple(y.shape) for y in outputs] == [
        (None, time, kind.units),
        *[(None, kind.num_states)] * len(states),
    ]
    model = model_of([sequence, *states], outputs, **COMPILED)
    expected, last = kind.reference(layer, kind.inputs(), kind.states())
    found = model.predict([kind.inputs(), *kind.states()], verbose=0)
    assert_close(found, [expected, *last])


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_one_layer_starts_from_the_state_of_another(kind):
    encoder = kind.make(return_state=True)
    decoder = kind.make(return_sequences=True, seed=2)
    source, target = (keras.Input((None, kind.features)) for _ in range(2))
    _, *states = encoder(source)
    model = model_of([source, target], decoder(target, initial_state=states))
    x, later = kind.inputs(5), kind.inputs(3, seed=9)
    _, last = kind.reference(encoder, x)
    y = model.predict([x, later], verbose=0)
    assert_close(y, kind.outputs(decoder, later, last))


@pytest.mark.parametrize(
    "kind", each_kind(fast=["lru"], names=["lru", "s4d", "s5", "dense_rnn"])
)
def test_encoder_of_which_the_state_alone_is_used(kind):
    """Docs have it: without freezing TensorFlow warns, which is an error in tests."""
    layer = kind.make(return_state=True)
    outputs = kind.groups["output"] + kind.groups["feedthrough"]
    for weight in layer.weights:
        weight.trainable = weight.name not in outputs
    sequences = keras.Input((None, kind.features))
    _, *state = layer(sequences)
    model = keras.Model(sequences, state[0])
    model.compile(keras.optimizers.SGD(0.1), "mse", **SOON)
    before = weights_of(layer)
    model.fit(kind.inputs(), kind.states()[0], verbose=0)
    changed = {n for n, w in weights_of(layer).items() if (w != before[n]).any()}
    assert changed == set(kind.shapes) - set(outputs)


# Few steps: each length of a piece is another program to compile.
STEPS = 3


@settings(deadline=None, max_examples=20)
@given(
    cuts=st.lists(st.integers(0, STEPS), max_size=3),
    mask=arrays(bool, (BATCH, STEPS)) | st.just(np.ones((BATCH, STEPS), bool)),
)
@pytest.mark.parametrize("kind", each_algorithm(fast=["lru"]))
def test_any_split_gives_the_whole(kind, cuts, mask):
    # The output before the first step of a piece is not known to the piece.
    solver = kind.solver(return_sequences=True, zero_output_for_mask=True)
    x, states = kind.inputs(STEPS), kind.states()
    expected, last = kind.reference(solver.layer, x, states, mask)
    pieces = []
    for start, stop in itertools.pairwise([0, *sorted(cuts), STEPS]):
        part = slice(start, stop)
        y, *states = solver(x[:, part], list(np.float32(states)), mask[:, part])
        pieces.append(y)
    assert_close([np.concatenate(pieces, 1), *states], [expected, *last])


# Stateful layers


@pytest.mark.parametrize("kind", each_algorithm())
def test_stateful_under_predict(kind):
    model, layer = stateful_model(kind)
    whole = kind.inputs(8)
    expected, last = kind.reference(layer, whole)
    pieces = [
        model.predict(x, batch_size=BATCH, verbose=0)
        for x in (whole[:, :4], whole[:, 4:])
    ]
    assert_close(np.concatenate(pieces, 1), expected)
    assert_close(layer.states, last)
    assert [w.name for w in layer.weights] == kind.weights
    layer.reset_state()
    assert not np.any(numpy_of_all(layer.states))
    again = model.predict(whole[:, :4], batch_size=BATCH, verbose=0)
    assert_close(again, pieces[0])


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_stateful_under_eager_predict(kind):
    model, layer = stateful_model(kind, options={"run_eagerly": True})
    expected, last = kind.reference(layer, kind.inputs())
    pieces = [
        model.predict(x, batch_size=BATCH, verbose=0)
        for x in (kind.inputs()[:, :3], kind.inputs()[:, 3:])
    ]
    assert_close(np.concatenate(pieces, 1), expected)
    assert_close(layer.states, last)


@pytest.mark.parametrize("kind", each_kind(fast=["lru", "rg_lru"]))
def test_stateful_layer_called_in_pieces(kind):
    layer = kind.make(stateful=True, return_sequences=True)
    x = kind.inputs()
    expected, last = kind.reference(layer, x)
    pieces = [layer(x[:, :3]), layer(x[:, 3:4]), layer(x[:, 4:])]
    assert_close(np.concatenate(numpy_of_all(pieces), axis=1), expected)
    assert_close(layer.states, last)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_a_row_of_states_belongs_to_a_row_of_the_batch(kind):
    layer = kind.make(stateful=True)
    layer(kind.inputs())
    kept = numpy_of_all(layer.states)
    layer(kind.inputs(), mask=MASKS["whole rows"])
    for before, after in zip(kept, numpy_of_all(layer.states), strict=True):
        assert_close(after[[0, 2]], before[[0, 2]])
        assert not np.allclose(after[1], before[1])


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_reset(kind):
    layer = kind.make(stateful=True)
    first = numpy_of(layer(kind.inputs()))
    for reset in (layer.reset_state, layer.reset_states):
        assert not np.allclose(numpy_of(layer(kind.inputs())), first)
        reset()
        assert not np.any(numpy_of_all(layer.states))
        np.testing.assert_array_equal(numpy_of(layer(kind.inputs())), first)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_reset_of_other_layers_does_nothing(kind):
    kind.make().reset_state()
    kind.make(stateful=True, built=False).reset_state()


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_given_initial_state_goes_before_the_kept_one(kind):
    layer = kind.make(stateful=True)
    layer(kind.inputs(seed=5))
    expected, last = kind.reference(layer, kind.inputs(), kind.states())
    y = layer(kind.inputs(), initial_state=kind.states())
    assert_close([y, *layer.states], [expected, *last])


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_batches_of_one_predict_are_consecutive(kind):
    model, layer = stateful_model(kind)
    x = kind.inputs(8)
    y = model.predict(np.concatenate([x[:, :4], x[:, 4:]]), batch_size=BATCH, verbose=0)
    expected = kind.outputs(layer, x)
    assert_close(y, np.concatenate([expected[:, :4], expected[:, 4:]]))


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_stateful_under_training(kind):
    """Of `fit`, `evaluate` and `train_on_batch`, and with a reset in each epoch."""
    model, layer = stateful_model(kind)
    _, last = kind.reference(layer, kind.inputs())
    data = kind.inputs(), np.zeros((BATCH, TIME, kind.units))
    options = {"batch_size": BATCH, "verbose": 0}
    reset = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: layer.reset_state()
    )
    for run in (
        lambda: model.fit(*data, shuffle=False, **options),
        lambda: model.evaluate(*data, **options),
        lambda: model.train_on_batch(*data),
        lambda: model.fit(*data, epochs=2, shuffle=False, callbacks=[reset], **options),
    ):
        layer.reset_state()
        run()
        assert_close(layer.states, last)


@pytest.mark.parametrize("kind", each_kind(fast=None))
def test_kept_states_are_variables_but_no_weights(kind):
    layer = kind.make(stateful=True, name="my")
    assert [w.name for w in layer.weights] == kind.weights
    extra = [v.path for v in layer.variables if v.name not in kind.weights]
    assert extra == [f"my/{name}" for name in kind.state_names]
    assert [v.path for v in layer.non_trainable_variables] == extra
    assert not layer.non_trainable_weights


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_weights_move_between_stateful_and_stateless(kind, tmp_path):
    stateless = sequential(kind.make())
    model, layer = stateful_model(kind, seed=2)
    layer(kind.inputs())
    stateless.save_weights(tmp_path / "model.weights.h5")
    model.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(stateless.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    layer.set_weights(stateless.layers[0].get_weights())


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_stateful_model_reloads_with_a_zero_state(kind, tmp_path):
    model, _ = stateful_model(kind)
    first = numpy_of(model(kind.inputs()))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert not np.any(numpy_of_all(loaded.layers[0].states))
    assert_close(loaded(kind.inputs()), first)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_stateful_bidirectional(kind):
    wrapper = keras.layers.Bidirectional(
        kind.make(built=False, stateful=True, return_sequences=True)
    )
    wrapper(kind.inputs())
    first = numpy_of(wrapper(kind.inputs()))
    wrapper.reset_state()
    wrapper(kind.inputs())
    assert_close(wrapper(kind.inputs()), first)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_stateless_call(kind):
    layer = kind.make(return_state=True, stateful=True)
    trainable = [v.value for v in layer.trainable_variables]
    kept = [ops.convert_to_tensor(part) for part in kind.states()]
    (y, *_), kept = layer.stateless_call(trainable, kept, kind.inputs())
    expected, last = kind.reference(layer, kind.inputs(), kind.states())
    assert_close([y, *kept], [expected, *last])
    assert not np.any(numpy_of_all(layer.states))


def test_known_keras_bug_stateful_lstm_on_jax(backend):
    """Keras 3.15: no LSTM keeps its state under `predict` on JAX. These layers do."""
    lstm = keras.layers.LSTM(4, recurrent_initializer="zeros", stateful=True)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, None, 2)), lstm])
    model.predict(np.ones((BATCH, TIME, 2)), batch_size=BATCH, verbose=0)
    assert np.any(numpy_of_all(lstm.states)) == (backend != "jax")
