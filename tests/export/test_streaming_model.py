"""The pieces of a sequence give the outputs of the whole."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru.export.input_signature import recorded_signature
from keras_lru.export.streaming_model import StreamingModel

from .samples import SIZES, built
from .stream_models import MODELS


def _take(inputs, start, stop):
    return keras.tree.map_structure(lambda x: x[:, start:stop], inputs)


def _run_in_pieces(stream, inputs, sizes):
    states, pieces, start = {}, [], 0
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
            model = built(make(), inputs)
            made[name] = model, StreamingModel(model, recorded_signature(model)), inputs
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
    # Sizes and sums that are compiled already.
    sizes=st.sampled_from([[4, 4, 1], [4, *[1] * 5], [1] * 9]).flatmap(st.permutations),
    seed=st.integers(0, 9),
)
def test_any_pieces_give_the_outputs_of_the_whole(streams, sizes, seed):
    model, stream, make_inputs = streams("regressor")
    _check_pieces(model, stream, make_inputs(2, sum(sizes), seed), sizes)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name == "steps and last" else pytest.mark.slow)
        for name in MODELS
    ],
)
def test_pieces_give_the_outputs_of_the_whole(streams, name):
    model, stream, make_inputs = streams(name)
    sizes = [4, 1, 4]
    _check_pieces(model, stream, make_inputs(2, sum(sizes)), sizes)


@pytest.mark.slow
def test_a_piece_may_be_empty(streams):
    model, stream, make_inputs = streams("regressor")
    inputs = make_inputs(2, 5)
    (actual,) = _run_in_pieces(stream, inputs, [0, 4, 0, 1])
    np.testing.assert_allclose(actual, model.predict(inputs, verbose=0), atol=2e-5)


def test_states_are_named_by_their_layers(streams):
    _, stream, _ = streams("steps and last")
    # What masked steps repeat is remembered too.
    names = ["lru_output", "lru_x_im", "lru_x_re", "pooling_output"]
    assert sorted(stream.initial_state) == names
    assert stream.initial_state["lru_x_re"].shape == (SIZES["state_size"],)
    assert stream.initial_state["pooling_output"].shape == (SIZES["units"],)
    assert all(not row.any() for row in stream.initial_state.values())


def test_the_model_is_left_as_it_was(streams):
    model, stream, make_inputs = streams("steps and last")
    _run_in_pieces(stream, make_inputs(2, 2), [1, 1])
    layers = list(model._flatten_layers())
    assert not any("call" in vars(layer) for layer in layers)
    assert not any(getattr(layer, "return_state", False) for layer in layers)
