"""Moving statistics that keep up with a run of any length."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.layers.batch_normalization import BatchNormalization

FEATURES = 3


def batches(count, seed=0):
    rng = np.random.default_rng(seed)
    scale = rng.uniform(0.5, 2, FEATURES)
    shape = (count, 4, 5, FEATURES)
    return (rng.normal(size=shape) * scale + scale).astype("float32")


def moving(norm):
    return [ops.convert_to_numpy(w) for w in (norm.moving_mean, norm.moving_variance)]


def test_automatic_statistics_are_the_averages_they_are_said_to_be():
    norm = BatchNormalization("auto")
    means, variances = [], []
    mean, variance = np.zeros(FEATURES), np.ones(FEATURES)
    for step, x in enumerate(batches(12).astype("float64")):
        norm(x.astype("float32"), training=True)
        keep = min((1 + step) / (10 + step), 0.99)
        mean = keep * mean + (1 - keep) * x.mean((0, 1))
        variance = keep * variance + (1 - keep) * x.var((0, 1))
        means.append(mean)
        variances.append(variance)
    np.testing.assert_allclose(moving(norm)[0], means[-1], rtol=1e-5)
    np.testing.assert_allclose(moving(norm)[1], variances[-1], rtol=1e-5)
    assert float(norm.updates) == 12


def test_after_few_steps_they_are_near_what_was_seen_and_a_fixed_momentum_is_not():
    distances = {}
    for momentum in ("auto", 0.99):
        norm = BatchNormalization(momentum)
        for x in batches(30):
            norm(x, training=True)
        seen = batches(30).mean((0, 1, 2))
        distances[momentum] = np.abs(moving(norm)[0] - seen).max()
    # Of the mean of 30 · 20 values; 74 % of the fixed one are still its first zero.
    assert distances["auto"] < 0.3 < distances[0.99]


def test_momentum_never_exceeds_that_of_long_runs():
    norm = BatchNormalization("auto")
    norm.build((None, None, FEATURES))
    norm.updates.assign(1e6)
    norm(np.ones((2, 2, FEATURES), "float32"), training=True)
    np.testing.assert_allclose(moving(norm)[0], 0.01, rtol=1e-4)


def test_training_and_inference_are_those_of_keras():
    x = batches(1)[0]
    mask = np.arange(5) < np.array([[5], [3], [1], [2]])
    ours, keras_own = BatchNormalization("auto"), keras.layers.BatchNormalization()
    for norm in (ours, keras_own):
        norm.build(x.shape)
        norm.gamma.assign([0.5, 1.0, 2.0])
        norm.beta.assign([1.0, 0.0, -1.0])
    for kwargs in ({"training": True, "mask": mask}, {"training": False}):
        # Inference alone: the statistics differ once there was a step.
        ours.moving_mean.assign(keras_own.moving_mean)
        ours.moving_variance.assign(keras_own.moving_variance)
        np.testing.assert_allclose(
            ops.convert_to_numpy(ours(x, **kwargs)),
            ops.convert_to_numpy(keras_own(x, **kwargs)),
            rtol=1e-4,
            atol=1e-5,
        )


def test_a_frozen_layer_keeps_its_statistics():
    norm = BatchNormalization("auto", trainable=False)
    norm(batches(1)[0], training=True)
    assert float(norm.updates) == 0
    np.testing.assert_array_equal(moving(norm)[0], np.zeros(FEATURES))


def test_half_precision():
    norm = BatchNormalization("auto", dtype="mixed_bfloat16")
    x = batches(1)[0]
    assert keras.backend.standardize_dtype(norm(x, training=True).dtype) == "bfloat16"
    np.testing.assert_allclose(moving(norm)[0], 0.9 * x.mean((0, 1)), rtol=0.02)


@pytest.mark.parametrize("momentum", ["auto", 0.5])
def test_config_round_trip(momentum):
    norm = BatchNormalization(momentum, epsilon=0.1)
    again = BatchNormalization.from_config(norm.get_config())
    assert again.get_config() == norm.get_config()
    assert again.get_config()["momentum"] == momentum


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"momentum": "best"}, "`momentum` must be .*momentum='best'"),
        ({"momentum": 1.0}, "`momentum` must be .*momentum=1.0"),
        ({"momentum": "auto", "renorm": True}, "`momentum` must be a number with"),
    ],
)
def test_bad_momenta_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BatchNormalization(**arguments)
