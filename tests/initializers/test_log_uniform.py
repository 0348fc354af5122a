"""Half-lives and periods spread over all memories, and rings in steps."""

import math

import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru.initializers import LogUniform, ring_from_memory

N = 4000


def drawn(quantity, *args, n=N, seed=3, **kwargs):
    values = LogUniform(quantity, *args, seed=seed, **kwargs)((n,))
    return keras.ops.convert_to_numpy(values).astype("float64")


def half_lives(*args, **kwargs):
    return math.log(2) / drawn("nu", *args, **kwargs)


@pytest.mark.parametrize(
    ("ring", "shortest", "longest"),
    [
        ((0.0, 1.0), 1, 1000),
        ((0.5, 0.5**0.01), 1, 100),
        ((0.0, 0.5**0.01), 1, 100),
        ((0.5**1e-4, 1.0), 10_000, 10_000),
        ((0.0, 0.25), 0.5, 0.5),
        ((0.0, 0.0), 1, 1),
        ((1.0, 1.0), 1000, 1000),
    ],
)
def test_half_lives_are_spread_evenly_on_a_logarithmic_scale(ring, shortest, longest):
    lives = half_lives(*ring)
    # Moduli near 1 are given as ν: nothing is lost.
    assert lives.min() >= shortest * (1 - 1e-5)
    assert lives.max() <= longest * (1 + 1e-5)
    if shortest < longest:
        share = np.log(lives / shortest) / math.log(longest / shortest)
        counts = np.histogram(share, 100, (0, 1))[0]
        # One state in each 4000th part of the scale, one more or less at the borders.
        assert abs(counts - N / 100).max() <= 2


@pytest.mark.parametrize(("max_phase", "fastest"), [(7.0, 2), (math.pi / 4, 8)])
def test_periods_are_spread_evenly_up_to_sixteen_half_lives(max_phase, fastest):
    lives = half_lives(max_phase=max_phase)
    periods = 2 * math.pi / drawn("theta", max_phase=max_phase)
    slowest = np.maximum(16 * lives, fastest)
    assert periods.min() >= fastest * (1 - 1e-5)
    assert (periods <= slowest * (1 + 1e-5)).all()
    turning = slowest > 1.01 * fastest
    share = np.log(periods / fastest)[turning] / np.log(slowest / fastest)[turning]
    assert scipy.stats.kstest(share, "uniform").statistic < 0.01
    # Few states already cover the plane of half-lives and periods: four in each half.
    few = [drawn(q, n=16) for q in ("nu", "theta")]
    share = np.log(math.pi / few[1]) / np.log(8 * math.log(2) / few[0])
    halves = 2 * (np.arange(16) >= 8) + (share > 0.5)
    assert np.bincount(halves, minlength=4).min() >= 3


def test_quantities_describe_the_same_eigenvalues():
    values = {q: drawn(q) for q in LogUniform.QUANTITIES}
    eigenvalues = np.exp(-values["nu"] + 1j * values["theta"])
    # A few units of the last place of float32.
    for name, expected in {
        "log_nu": np.log(values["nu"]),
        "log_theta": np.log(values["theta"]),
        "gamma_log": 0.5 * np.log(-np.expm1(-2 * values["nu"])),
        "real": eigenvalues.real,
        "imag": eigenvalues.imag,
    }.items():
        np.testing.assert_allclose(values[name], expected, rtol=3e-6, atol=3e-7)


def test_seeds():
    assert (drawn("nu", seed=1) == drawn("nu", seed=1)).all()
    for quantity in ("nu", "theta"):
        assert (drawn(quantity, seed=1) != drawn(quantity, seed=2)).any()
    initializer = LogUniform("nu")
    first, again = (keras.ops.convert_to_numpy(initializer((5,))) for _ in range(2))
    np.testing.assert_array_equal(first, again)


@settings(deadline=None, max_examples=30)
@given(
    radii=st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted),
    max_phase=st.floats(0, 10),
    seed=st.integers(-(10**9), 10**9),
)
def test_any_legal_ring_gives_finite_numbers(radii, max_phase, seed):
    for quantity in LogUniform.QUANTITIES:
        values = drawn(quantity, *radii, max_phase, n=7, seed=seed)
        assert np.isfinite(values).all(), quantity
    assert (drawn("nu", *radii, max_phase, n=7, seed=seed) > 0).all()


def test_config_round_trip():
    made = LogUniform("theta", 0.1, 0.9, 1.0, seed=4)
    again = keras.initializers.deserialize(keras.initializers.serialize(made))
    assert again.get_config() == made.get_config()
    assert keras.ops.convert_to_numpy(again((3,), "float32")).dtype == "float32"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"quantity": "mu"}, "`quantity` must be one of .*quantity='mu'"),
        ({"r_min": 0.9, "r_max": 0.5}, "`r_min` must not be larger"),
        ({"r_max": 1.5}, "`r_max` must be .*r_max=1.5"),
        ({"max_phase": -1}, "`max_phase` must be .*max_phase=-1"),
        ({"seed": 0.5}, "`seed` must be .*seed=0.5"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogUniform(**{"quantity": "nu", **arguments})


# Rings in steps


@settings(deadline=None, max_examples=30)
@given(
    memory=st.tuples(st.floats(0.01, 1e6), st.floats(0.01, 1e6)).map(sorted),
    period=st.floats(1, 1e6),
)
def test_a_ring_has_the_memory_that_was_asked_for(memory, period):
    ring = ring_from_memory(memory, period)
    lives = [-math.log(2) / math.log(ring[name]) for name in ("r_min", "r_max")]
    # 1 − r is good to a unit of the last place of 1.
    np.testing.assert_allclose(lives, memory, rtol=1e-9)
    np.testing.assert_allclose(2 * math.pi / ring["max_phase"], period)


def test_an_endless_memory_ends_on_the_unit_circle():
    assert ring_from_memory((10, math.inf))["r_max"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"memory": 100}, "`memory` must be two half-lives.*memory=100"),
        ({"memory": (1, 2, 3)}, "`memory` must be two"),
        ({"memory": (0, 10)}, r"`memory` must be two.*memory=\(0, 10\)"),
        ({"memory": (20, 10)}, "`memory` must be two"),
        ({"memory": (math.nan, 10)}, "`memory` must be two"),
        ({"memory": ("1", "2")}, "`memory` must be two"),
        ({"shortest_period": 0.5}, "`shortest_period` must be .*=0.5"),
        ({"shortest_period": math.inf}, "`shortest_period` must be .*=inf"),
    ],
)
def test_bad_memories_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        ring_from_memory(**arguments)
