"""Streams: the pieces of a sequence give the outputs of the whole."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru import (
    LRU,
    S4D,
    S5,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)
from keras_lru.export import export_saved_model
from keras_lru.export.streaming import StreamingModel
from keras_lru.layers import LRUCell
from keras_lru.models.signature import input_signature
from keras_lru.ops import naive

from .serving import serve_elsewhere
from .test_export import TOKENS, features, tokens

SIZES = {"depth": 2, "units": 6, "state_size": 5}


def last_of_tokens():
    return SequenceClassifier(3, pooling="last", **SIZES, **TOKENS)


def masked_kinds():
    """A mask that reaches recurrent layers of several kinds."""
    return keras.Sequential(
        [
            keras.layers.Masking(),
            keras.layers.LSTM(3, return_sequences=True),
            LRU(4, return_sequences=True, zero_output_for_mask=True),
            keras.layers.Masking(mask_value=-1.0),
            keras.layers.RNN(
                [keras.layers.GRUCell(4), keras.layers.LSTMCell(5)],
                return_sequences=True,
            ),
            keras.layers.SimpleRNN(3, return_sequences=True),
            LRU(4),
        ]
    )


def two_inputs():
    """Two inputs, two outputs, one of them in time, and a state that goes nowhere."""
    a, b = keras.Input((None, 3), name="a"), keras.Input((None, 3), name="b")
    x, *_ = LRU(4, return_sequences=True, return_state=True)(a + b)
    return keras.Model([a, b], {"each": keras.layers.Dense(2)(x), "last": LRU(3)(x)})


def both_features(batch, length):
    return [features(batch, length, 1), features(batch, length, 2)]


MODELS = {
    "regressor": (lambda: SequenceRegressor(2, **SIZES), features),
    "last of tokens": (last_of_tokens, tokens),
    "masked kinds": (masked_kinds, features),
    "two inputs": (two_inputs, both_features),
    "layer norm after": (
        lambda: SequenceRegressor(1, prenorm=False, normalization="layer", **SIZES),
        features,
    ),
    "cells": (
        lambda: keras.Sequential(
            [keras.layers.RNN([LRUCell(4), LRUCell(3)], return_sequences=True)]
        ),
        features,
    ),
    "baselines": (
        lambda: keras.Sequential(
            [
                S5(4, return_sequences=True),
                S4D(4, state_size=6, return_sequences=True),
            ]
        ),
        features,
    ),
}


def _take(inputs, start, stop):
    return keras.tree.map_structure(lambda x: x[:, start:stop], inputs)


def _run_in_pieces(stream, inputs, sizes):
    batch = keras.tree.flatten(inputs)[0].shape[0]
    states = {
        name: ops.convert_to_tensor(np.repeat(row[None], batch, axis=0))
        for name, row in stream.initial_state.items()
    }
    pieces, start = [], 0
    for size in sizes:
        outputs, states = stream(_take(inputs, start, start + size), states)
        pieces.append([ops.convert_to_numpy(x) for x in keras.tree.flatten(outputs)])
        start += size
    return [
        np.concatenate(arrays, axis=1) if has_time else arrays[-1]
        for arrays, has_time in zip(
            zip(*pieces, strict=True), stream.has_time, strict=True
        )
    ]


@pytest.fixture(scope="module")
def streams():
    """Models made once: `get(name)` gives the model, its stream and its inputs."""
    made = {}

    def get(name):
        if name not in made:
            make, inputs = MODELS[name]
            model = make()
            model(inputs(2, 5))
            made[name] = model, StreamingModel(model, input_signature(model)), inputs
        return made[name]

    return get


def _check_pieces(model, stream, inputs, sizes):
    whole = [ops.convert_to_numpy(x) for x in keras.tree.flatten(model(inputs))]
    for actual, expected in zip(
        _run_in_pieces(stream, inputs, sizes), whole, strict=True
    ):
        # Single precision, other blocks.
        np.testing.assert_allclose(actual, expected, atol=2e-5, rtol=1e-4)


@pytest.mark.slow
@settings(deadline=None, max_examples=5)
@given(
    sizes=st.lists(st.sampled_from([1, 5]), min_size=1, max_size=5),
    seed=st.integers(0, 9),
)
def test_any_pieces_give_the_outputs_of_the_whole(streams, sizes, seed):
    model, stream, make_inputs = streams("regressor")
    _check_pieces(model, stream, make_inputs(2, sum(sizes), seed), sizes)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "regressor" else pytest.mark.slow)
        for name in MODELS
    ],
)
def test_pieces_give_the_outputs_of_the_whole(streams, name):
    model, stream, make_inputs = streams(name)
    # Sizes that are compiled already.
    sizes = [2, 1, 1, 4, 2, 4]
    _check_pieces(model, stream, make_inputs(2, sum(sizes)), sizes)


def test_a_piece_may_be_empty(streams):
    model, stream, make_inputs = streams("regressor")
    inputs = make_inputs(2, 3)
    (actual,) = _run_in_pieces(stream, inputs, [0, 2, 0, 1])
    np.testing.assert_allclose(actual, model.predict(inputs, verbose=0), atol=2e-5)


def test_states_are_named_by_their_layers(streams):
    _, stream, _ = streams("last of tokens")
    names = [f"block_{i}_lru_{part}" for i in (0, 1) for part in ("x_re", "x_im")]
    # What masked steps repeat is remembered too.
    held = ["block_0_lru_output", "block_1_lru_output", "pooling_output"]
    assert sorted(stream.initial_state) == sorted(names + held)
    assert stream.initial_state["block_0_lru_x_re"].shape == (SIZES["state_size"],)
    assert stream.initial_state["pooling_output"].shape == (SIZES["units"],)
    assert all(not row.any() for row in stream.initial_state.values())


def test_the_model_is_left_as_it_was(streams):
    model, stream, make_inputs = streams("masked kinds")
    _run_in_pieces(stream, make_inputs(2, 2), [1, 1])
    assert not any("call" in vars(layer) for layer in model.layers)
    assert not any(getattr(layer, "return_state", False) for layer in model.layers)


@pytest.mark.parametrize(
    "name",
    [
        "regressor",
        pytest.param("last of tokens", marks=pytest.mark.slow),
        pytest.param("baselines", marks=pytest.mark.slow),
    ],
)
def test_exported_streams_are_served_without_us(streams, name, tmp_path):
    model, _, make_inputs = streams(name)
    export_saved_model(model, tmp_path / "model", verbose=False)
    inputs = make_inputs(3, 20)
    whole = model.predict(inputs, verbose=0)
    ways = ([None] * 20, [1, 7, None, 11])
    requests = [(tmp_path / "model", [inputs], sizes) for sizes in (None, *ways)]
    ((served,), *streamed), complaints = serve_elsewhere(requests, tmp_path)
    assert complaints == []
    np.testing.assert_allclose(served, whole, atol=2e-5)
    for (outputs,), sizes in zip(streamed, ways, strict=True):
        if whole.ndim == 2:
            np.testing.assert_allclose(outputs[-1], whole, atol=2e-5)
            continue
        steps = [
            y[:, None] if n is None else y for y, n in zip(outputs, sizes, strict=True)
        ]
        np.testing.assert_allclose(np.concatenate(steps, 1), whole, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_states_stay_in_single_precision(policy, tmp_path):
    import tensorflow as tf

    model = SequenceRegressor(2, dtype=policy, **SIZES)
    model(features(2, 5))
    export_saved_model(model, tmp_path / "model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    states = served.step(features(2, 1)[:, 0], served.initial_state(2))
    assert states.pop("outputs").dtype == policy.removeprefix("mixed_")
    assert {x.dtype for x in states.values()} == {tf.float32}


def test_every_output_has_its_name(tmp_path):
    import tensorflow as tf

    x = keras.Input((None, 3))
    y = LRU(2, return_sequences=True, name="recurrence")(x)
    model = keras.Model(x, [keras.layers.Dense(1)(y), y])
    export_saved_model(model, tmp_path / "model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert sorted(served.signatures["step"].structured_outputs) == [
        "outputs_0",
        "outputs_1",
        "recurrence_x_im",
        "recurrence_x_re",
    ]
    assert sorted(served.signatures) == [
        "chunk",
        "initial_state",
        "serve",
        "serving_default",
        "step",
    ]


@pytest.mark.slow
def test_a_hundred_thousand_steps(tmp_path):
    import tensorflow as tf

    steps = 100_000
    layer = LRU(2, state_size=8, r_min=0.99, r_max=0.9999, return_sequences=True)
    model = keras.Sequential([keras.Input((None, 1)), layer])
    export_saved_model(model, tmp_path / "model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    x = np.random.default_rng(0).normal(size=(1, steps, 1)).astype("float32")
    whole = served.serve(x).numpy()
    start = {**served.initial_state(1), "outputs": tf.zeros((1, 2))}

    # A loop of TensorFlow's own, for the test to be fast.
    @tf.function
    def stream(steps):
        def step(states, x_t):
            states = {k: v for k, v in states.items() if k != "outputs"}
            after = served.step(x_t, states)
            return {k: tf.ensure_shape(v, start[k].shape) for k, v in after.items()}

        return tf.scan(step, steps, initializer=start)["outputs"]

    streamed = stream(x.swapaxes(0, 1)).numpy().swapaxes(0, 1)

    log_modulus, angle = (
        ops.convert_to_numpy(v).astype("float64") for v in layer.cell.polar()
    )
    B, C = (
        re + 1j * im
        for re, im in (
            [ops.convert_to_numpy(v).astype("float64") for v in pair]
            for pair in (layer.cell.input_matrix(), layer.cell.output_matrix())
        )
    )
    D = ops.convert_to_numpy(layer.cell.D).astype("float64")
    exact, _ = naive.diagonal_ssm(x, np.exp(log_modulus + 1j * angle), B, C, D)
    # A rounded λ is off by half an ulp, and so is each sum; both add up over the
    # memory of the state, 1 / (1 − |λ|) steps.
    eps = np.finfo("float32").eps
    bound = eps / (1 - np.exp(log_modulus.max())) * np.abs(exact).max()
    assert np.abs(streamed - exact).max() < bound
    assert np.abs(whole - exact).max() < bound
    assert np.abs(streamed - whole).max() < bound


class Reversed(keras.layers.Layer):
    """Mixes time steps in a way that nothing tells."""

    def call(self, inputs):
        return ops.flip(inputs, axis=1)


def _stack(*layers):
    return keras.Sequential([LRU(3, return_sequences=True), *layers])


@pytest.mark.parametrize(
    ("make", "layer", "reason"),
    [
        (
            lambda: SequenceRegressor(2, bidirectional=True, **SIZES),
            r"'block_0/bidirectional' \(Bidirectional\)",
            "from its end too",
        ),
        (
            lambda: SequenceClassifier(2, **SIZES),
            r"'pooling' \(SequencePooling\)",
            "pools over the whole sequence, mode='mean'",
        ),
        (
            lambda: _stack(LRU(2, go_backwards=True, name="backwards")),
            r"'backwards' \(LRU\)",
            "go_backwards=True",
        ),
        (
            lambda: _stack(keras.layers.LSTM(2, stateful=True, name="kept")),
            r"'kept' \(LSTM\)",
            "stateful=True",
        ),
        (
            lambda: _stack(keras.layers.Conv1D(2, 3, padding="causal", name="conv")),
            r"'conv' \(Conv1D\)",
            "in pieces",
        ),
        (
            lambda: _stack(keras.layers.GlobalAveragePooling1D(name="average")),
            r"'average' \(GlobalAveragePooling1D\)",
            "in pieces",
        ),
        (lambda: _stack(Reversed(name="mine")), r"'mine' \(Reversed\)", "in pieces"),
        (
            lambda: keras.Sequential([keras.layers.Dense(2)], name="no_memory"),
            "'no_memory'",
            "no recurrent layer",
        ),
    ],
)
def test_models_that_cannot_be_streamed_are_refused(make, layer, reason, tmp_path):
    model = make()
    model(features(2, 5))
    with pytest.raises(ValueError, match=f"{layer}.*{reason}"):
        export_saved_model(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


def test_a_layer_that_reads_two_sequences_is_refused(tmp_path):
    a, b = keras.Input((None, 3)), keras.Input((None, 3))
    shared = LRU(2, return_sequences=True, name="shared")
    model = keras.Model([a, b], shared(a) + shared(b))
    with pytest.raises(ValueError, match=r"'shared' \(LRU\).*reads two sequences"):
        export_saved_model(model, tmp_path / "model")
    pair = PairClassifier(2, pooling="last", **SIZES)
    pair([features(2, 5), features(2, 5)])
    with pytest.raises(ValueError, match="reads two sequences"):
        export_saved_model(pair, tmp_path / "model")


def test_a_decoder_whose_state_an_encoder_gives_is_refused(tmp_path):
    x = keras.Input((None, 3))
    _, *states = keras.layers.LSTM(2, return_state=True)(x)
    decoder = keras.layers.LSTM(2, return_sequences=True, name="decoder")
    model = keras.Model(x, decoder(x, initial_state=states))
    with pytest.raises(ValueError, match=r"'decoder' \(LSTM\).*initial state"):
        export_saved_model(model, tmp_path / "model")
