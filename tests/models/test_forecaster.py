"""Forecasts: units, trends, targets, masks, streams."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRUBackbone, SequenceForecaster
from keras_lru.export import export_saved_model
from keras_lru.models import seasonal_naive
from keras_lru.training import compile_recommended

SMALL = {"depth": 1, "units": 6, "state_size": 5, "seed": 0}
BATCH, TIME, FEATURES, HORIZON = 3, 9, 2, 4


def windows(features=FEATURES, time=TIME):
    rng = np.random.default_rng(0)
    steps = rng.normal(size=(BATCH, time, features)).cumsum(1)
    return (steps + 50).astype("float32")


def numpy_of(x):
    return ops.convert_to_numpy(x)


def adapted(**kwargs):
    model = SequenceForecaster(HORIZON, **{**SMALL, **kwargs})
    model.adapt(windows(time=30))
    return model


def test_a_forecast_is_the_last_value_and_changes_of_a_typical_size():
    model = adapted()
    x = windows()
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    np.testing.assert_allclose(
        numpy_of(model(x)), np.repeat(x[:, -1:], HORIZON, 1), rtol=1e-6
    )
    model.head.bias.assign(np.ones(model.head.bias.shape))
    series = windows(time=30).astype("float64")
    change = series[:, HORIZON:] - series[:, :-HORIZON]
    size = np.sqrt((change**2).mean((0, 1)))
    expected = x[:, -1:] + size * np.ones((HORIZON, 1))
    np.testing.assert_allclose(numpy_of(model(x)), expected, rtol=1e-5)


@pytest.mark.parametrize("differencing", [True, False])
def test_units_do_not_matter(differencing):
    """Another unit and another zero give the same forecast, in these."""
    factor, zero = 1e-3, 300.0 if differencing else 3.0
    forecasts = []
    for a, b in ((1.0, 0.0), (factor, zero)):
        model = SequenceForecaster(HORIZON, differencing=differencing, **SMALL)
        model.adapt(windows(time=30) * a + b)
        forecasts.append((numpy_of(model(windows() * a + b)) - b) / a)
    # A change of 1e-3 beside a level of 300 has one and a half digits less.
    np.testing.assert_allclose(*forecasts, rtol=0.02 if differencing else 1e-3)


def test_a_level_never_seen_is_no_surprise():
    model = adapted()
    np.testing.assert_allclose(
        numpy_of(model(windows() + 64)), numpy_of(model(windows())) + 64, rtol=1e-4
    )


@pytest.mark.parametrize("differencing", [True, False])
def test_targets_are_taken_from_the_features(differencing):
    model = adapted(targets=[1], differencing=differencing)
    x = windows()
    assert numpy_of(model(x)).shape == (BATCH, HORIZON, 1)
    assert model.compute_output_shape(x.shape) == (BATCH, HORIZON, 1)
    model.head.kernel.assign(np.zeros(model.head.kernel.shape))
    start = x[:, -1:, 1:] if differencing else windows(time=30)[..., 1:].mean((0, 1))
    expected = np.broadcast_to(start, (BATCH, HORIZON, 1))
    np.testing.assert_allclose(numpy_of(model(x)), expected, rtol=1e-5)


def test_padding_does_not_count():
    model = adapted()
    x = windows()
    mask = np.arange(TIME) < np.array([[9], [4], [1]])
    padded = numpy_of(model(np.where(mask[..., None], x, 0.0), mask=mask))
    for row, length in enumerate(mask.sum(1)):
        alone = numpy_of(model(x[row : row + 1, :length]))
        np.testing.assert_allclose(padded[row], alone[0], rtol=1e-5)


def test_the_loss_is_in_typical_changes_and_metrics_in_units():
    losses, metrics = [], []
    # Targets of one feature come with an axis for it, or without.
    for unit, has_axis in ((1.0, True), (100.0, True), (100.0, False)):
        model = SequenceForecaster(HORIZON, **SMALL)
        model.adapt(windows(features=1, time=30) * unit)
        compile_recommended(model, 10)
        x = windows(features=1) * unit
        y = x[:, :HORIZON] if has_axis else x[:, :HORIZON, 0]
        values = model.evaluate(x, y, verbose=0, return_dict=True)
        losses.append(values["loss"])
        metrics.append(values["mean_absolute_error"] / unit)
    np.testing.assert_allclose(losses, losses[0], rtol=1e-4)
    np.testing.assert_allclose(metrics, metrics[0], rtol=1e-4)
    assert losses[0] < 0.7 * metrics[0]


def test_it_learns_a_season_on_a_trend_and_beats_the_last_period():
    t = np.arange(400.0)
    series = (np.sin(2 * np.pi * t / 12) + 0.02 * t)[:, None]
    cut = np.lib.stride_tricks.sliding_window_view(series[:, 0], 24 + 6)[..., None]
    (x, y), (test_x, test_y) = ((c[:, :24], c[:, 24:]) for c in (cut[:250], cut[300:]))
    model = SequenceForecaster(6, depth=1, units=16, seed=0)
    model.adapt(series[:280])
    compile_recommended(model, 12 * 8, learning_rate=0.01)
    model.fit(x, y, epochs=12, verbose=0)
    error = np.abs(model.predict(test_x, verbose=0) - test_y).mean()
    naive = np.abs(seasonal_naive(test_x, 6, 12) - test_y).mean()
    # The trend adds 0.24 in a period.
    assert naive == pytest.approx(0.24, rel=1e-3)
    assert error < naive / 2


def test_half_precision_keeps_a_change_beside_a_large_level():
    model = adapted(dtype="mixed_bfloat16")
    exact = adapted()
    x = windows() + 1000
    outputs = model(x)
    assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
    # Bfloat16 itself tells levels of 1000 apart by 4.
    np.testing.assert_allclose(numpy_of(outputs), numpy_of(exact(x)), atol=0.3)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16", "float64"])
@pytest.mark.parametrize("differencing", [True, False])
def test_units_are_in_single_precision_under_every_policy(policy, differencing):
    """Float16 ends at 65 504, and has no 1e-9."""
    if policy == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX has no float64 unless it is asked for it")
    for unit in (1e6, 1e-9):
        model = SequenceForecaster(
            HORIZON, differencing=differencing, dtype=policy, **SMALL
        )
        model.adapt(windows(time=30) * unit)
        outputs = model(windows() * unit)
        assert keras.backend.standardize_dtype(outputs.dtype) == "float32"
        # Levels are around 50, and a forecast is a few changes away.
        np.testing.assert_allclose(numpy_of(outputs) / unit, 50, atol=25)


def test_a_constant_feature_is_not_scaled_up():
    series = windows(time=30)
    series[..., 1] = 0.1
    for differencing in (True, False):
        model = SequenceForecaster(HORIZON, differencing=differencing, **SMALL)
        model.adapt(series)
        assert numpy_of(model.scale)[0, 1] == numpy_of(model.output_scale)[0, 1] == 1


@pytest.mark.parametrize("shape", [(BATCH, HORIZON, 2), (BATCH, 1, 1), (BATCH, 1)])
def test_targets_that_fit_by_broadcasting_alone_are_refused(shape):
    model = compile_recommended(adapted(targets=[1]), 10)
    with pytest.raises(ValueError, match=r"`y` must have shape \(None, 4, 1\) or"):
        model.evaluate(windows(), np.ones(shape), verbose=0)


def test_reloads_with_its_units(tmp_path):
    model = adapted(targets=(1, 0))
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    np.testing.assert_allclose(
        numpy_of(again(windows())), numpy_of(model(windows())), rtol=1e-6
    )


@pytest.mark.parametrize(
    "differencing", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_a_stream_forecasts_after_each_step(tmp_path, differencing):
    tf = pytest.importorskip("tensorflow")
    model = adapted(differencing=differencing)
    x = windows()
    whole = [numpy_of(model(x[:, :stop])) for stop in (1, 5, TIME)]
    export_saved_model(model, tmp_path / "served", verbose=False)
    served = tf.saved_model.load(tmp_path / "served")
    states, outputs = served.initial_state(BATCH), {}
    for stop in range(1, 6):
        states = served.step(x[:, stop - 1], states)
        outputs[stop] = states.pop("outputs")
    outputs[TIME] = served.chunk(x[:, 5:], states)["outputs"]
    for stop, expected in zip((1, 5, TIME), whole, strict=True):
        np.testing.assert_allclose(outputs[stop].numpy(), expected, rtol=1e-5)


def test_seasonal_naive_repeats_the_last_period():
    x = windows()
    np.testing.assert_array_equal(
        seasonal_naive(x, 5, 2), x[:, [TIME - 2, TIME - 1] * 3][:, :5]
    )
    np.testing.assert_array_equal(seasonal_naive(x, 2), x[:, [-1, -1]])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"horizon": 0}, "`horizon` must be .*horizon=0"),
        ({"targets": []}, r"`targets` must be different .*targets=\[\]"),
        ({"targets": [0, 0]}, "`targets` must be different"),
        ({"targets": [-1]}, "`targets` must be different"),
        ({"targets": 1}, "`targets` must be different.*targets=1"),
        ({"bidirectional": True}, "`bidirectional` must be left out"),
        ({"vocabulary_size": 4}, "`vocabulary_size` must be left out"),
        (
            {"backbone": LRUBackbone(1, 4, 4, bidirectional=True)},
            "`bidirectional` must be left out",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    small = {} if "backbone" in arguments else SMALL
    with pytest.raises(ValueError, match=message):
        SequenceForecaster(**{"horizon": HORIZON, **small, **arguments})


def test_a_target_beyond_the_features_is_refused():
    with pytest.raises(ValueError, match=r"`targets` must be below .* 2.*\[2\]"):
        adapted(targets=[2])


@pytest.mark.parametrize(
    ("series", "message"),
    [
        (np.zeros(HORIZON), r"`series` must have shape .*horizon=4.*\(4,\)"),
        (np.zeros((2, 2, 9, 1)), "`series` must have shape"),
        ([["a"] * 9], "`series` must be an array of numbers"),
        ([[1.0], [1.0, 2.0]], "`series` must be an array of numbers"),
        (np.array([0.0, np.nan] * 5), "`series` must have finite numbers.*: 5"),
    ],
)
def test_bad_series_are_refused(series, message):
    with pytest.raises(ValueError, match=message):
        SequenceForecaster(HORIZON, **SMALL).adapt(series)


def test_a_series_of_other_features_is_refused():
    with pytest.raises(ValueError, match=r"`series` must have the model's 2 features"):
        adapted().adapt(np.ones((9, 3)))


def test_complex_inputs_are_refused():
    with pytest.raises(ValueError, match="`inputs` must be real"):
        adapted()(windows().astype("complex64"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"period": 10}, r"`inputs` must be windows .*period=10.*\(3, 9, 2\)"),
        ({"period": 0}, "`period` must be .*period=0"),
        ({"horizon": 1.5}, "`horizon` must be .*horizon=1.5"),
    ],
)
def test_bad_periods_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        seasonal_naive(**{"inputs": windows(), "horizon": 2, **arguments})
