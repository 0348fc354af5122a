"""Streams that TensorFlow serves without us."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRU, SequenceRegressor
from keras_lru.export import export_saved_model
from keras_lru.ops import naive

from .samples import SIZES, built, features
from .stream_models import MODELS

ENDPOINTS = ["chunk", "initial_state", "serve", "serving_default", "step"]


def _export(name, path):
    make, make_inputs = MODELS[name]
    model = built(make(), make_inputs)
    export_saved_model(model, path, verbose=False)
    return model, make_inputs


@pytest.fixture(scope="module")
def steps_and_last(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    return (path, *_export("steps and last", path))


def _check_streams(path, model, make_inputs, server):
    inputs = make_inputs(2, 9)
    whole = _named(model.predict(inputs, verbose=0))
    served = _named(server.serve(path, inputs))
    for name, expected in whole.items():
        np.testing.assert_allclose(served[name], expected, atol=2e-5)
    for sizes in ([None] * 9, [1, 4, None, 3]):
        pieces = server.serve(path, inputs, sizes)
        for name, expected in whole.items():
            arrays = [piece[name] for piece in pieces]
            if expected.ndim == 2:
                np.testing.assert_allclose(arrays[-1], expected, atol=2e-5)
                continue
            steps = [
                array[:, None] if size is None else array
                for array, size in zip(arrays, sizes, strict=True)
            ]
            np.testing.assert_allclose(np.concatenate(steps, 1), expected, atol=2e-5)
    assert server.complaints() == []


def _named(outputs):
    if isinstance(outputs, dict):
        return {f"outputs_{key}": value for key, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return {f"outputs_{i}": value for i, value in enumerate(outputs)}
    return {"outputs": outputs}


def test_exported_streams_are_served_without_us(steps_and_last, tensorflow_alone):
    _check_streams(*steps_and_last, tensorflow_alone)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "regressor",
        "last of tokens",
        "baselines",
        "two inputs",
        "steps of any size",
        "eight bits",
    ],
)
def test_every_exported_stream_is_served_without_us(name, tmp_path, tensorflow_alone):
    path = tmp_path / "model"
    _check_streams(path, *_export(name, path), tensorflow_alone)


def test_every_endpoint_output_and_state_has_its_name(steps_and_last):
    import tensorflow as tf

    path, *_ = steps_and_last
    served = tf.saved_model.load(str(path))
    assert sorted(served.signatures) == ENDPOINTS
    assert sorted(served.signatures["step"].structured_outputs) == [
        "lru_output",
        "lru_x_im",
        "lru_x_re",
        "outputs_0",
        "outputs_1",
        "pooling_output",
    ]


@pytest.mark.slow
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_states_stay_in_single_precision(policy, tmp_path):
    import tensorflow as tf

    model = built(SequenceRegressor(2, dtype=policy, **SIZES), features)
    export_saved_model(model, tmp_path / "model", verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    states = served.step(features(2, 1)[:, 0], served.initial_state(2))
    assert states.pop("outputs").dtype == policy.removeprefix("mixed_")
    assert {x.dtype for x in states.values()} == {tf.float32}


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

    system = layer.cell.system()
    log_modulus, angle, *B, D = (
        ops.convert_to_numpy(v).astype("float64")
        for v in (*system.polar, *system.B, system.D)
    )
    C_re, C_im = (ops.convert_to_numpy(v).astype("float64") for v in system.C)
    B, C = B[0] + 1j * B[1], C_re + 1j * C_im
    exact, _ = naive.diagonal_ssm(x, np.exp(log_modulus + 1j * angle), B, C, D)
    # A rounded λ is off by half an ulp, and so is each sum; both add up over the
    # memory of the state, 1 / (1 − |λ|) steps.
    eps = np.finfo("float32").eps
    bound = eps / (1 - np.exp(log_modulus.max())) * np.abs(exact).max()
    assert np.abs(streamed - exact).max() < bound
    assert np.abs(whole - exact).max() < bound
    assert np.abs(streamed - whole).max() < bound
