import json
import math

import keras
import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru.initializers import Gamma, RingMagnitude, RingPhase

EDGES = [(0, 0), (1, 1), (0, 1), (0.5, 0.5), (0.9999, 1.0), (0.0, 1e-8)]
N = 4000


def drawn(initializer, n=N):
    return keras.ops.convert_to_numpy(initializer((n,))).astype("float64")


def radii():
    """Both radii of a legal ring, equal ones included."""
    return st.tuples(st.floats(0, 1), st.floats(0, 1)).map(sorted)


# Lemma 2: uniform on a ring


@pytest.mark.parametrize(
    ("r_min", "r_max"), [(0.0, 1.0), (0.0, 0.5), (0.5, 0.9), (0.9, 0.999)]
)
def test_squared_radii_are_uniform(r_min, r_max):
    square = np.exp(-2 * np.exp(drawn(RingMagnitude(r_min, r_max, seed=3))))
    span = r_max**2 - r_min**2
    # The seed is fixed: either it is in the middle 99 % of all seeds or it is not.
    assert scipy.stats.kstest(square, "uniform", (r_min**2, span)).pvalue > 0.01


@pytest.mark.parametrize("max_phase", [2 * math.pi, math.pi / 10])
def test_phases_are_uniform(max_phase):
    theta = np.exp(drawn(RingPhase(max_phase, seed=3)))
    assert scipy.stats.kstest(theta, "uniform", (0, max_phase)).pvalue > 0.01


def test_eigenvalues_are_uniform_in_area():
    """As many in each of four sectors of two rings of equal area."""
    radius = np.exp(-np.exp(drawn(RingMagnitude(seed=3))))
    theta = np.exp(drawn(RingPhase(seed=4)))
    cells = 4 * (radius**2 > 0.5) + (theta // (math.pi / 2)).astype(int)
    assert scipy.stats.chisquare(np.bincount(cells, minlength=8)).pvalue > 0.01


@pytest.mark.parametrize("ring", [(0.0, 1.0), (0.5, 0.9), (0.999, 0.9999)])
def test_forms_describe_the_same_eigenvalues(ring):
    log_nu, nu, modulus = (
        drawn(RingMagnitude(*ring, form, seed=5)) for form in RingMagnitude.FORMS
    )
    # A few units of the last place of float32.
    np.testing.assert_allclose(np.exp(log_nu), nu, rtol=2e-6)
    np.testing.assert_allclose(np.exp(-nu), modulus, rtol=2e-6)
    log_theta, theta = (drawn(RingPhase(0.3, form, 5)) for form in RingPhase.FORMS)
    np.testing.assert_allclose(np.exp(log_theta), theta, rtol=2e-6, atol=1e-8)


@settings(deadline=None, max_examples=30)
@given(ring=radii(), seed=st.integers(0, 10**9))
def test_radii_are_on_the_ring(ring, seed):
    r_min, r_max = ring
    modulus = drawn(RingMagnitude(r_min, r_max, "modulus", seed), 64)
    # |λ|² is good to the float32 distance of 1 - |λ|² from 1; near 0 its root is less.
    assert modulus.min() ** 2 >= r_min**2 - 3e-7
    assert modulus.max() ** 2 <= r_max**2 + 3e-7


# Finite on the edges


@pytest.mark.parametrize("ring", EDGES)
def test_every_legal_ring_gives_finite_numbers(ring):
    for form in RingMagnitude.FORMS:
        assert np.isfinite(drawn(RingMagnitude(*ring, form, seed=1))).all()
    assert np.isfinite(drawn(Gamma(*ring, seed=1))).all()
    # Strictly inside the unit circle, in float32 too.
    nu = np.exp(drawn(RingMagnitude(*ring, seed=1)))
    assert (nu > 0).all()
    assert (np.exp(-nu).astype("float32") <= 1).all()


@settings(deadline=None, max_examples=30)
@given(ring=radii(), seed=st.integers(0, 10**9))
def test_any_legal_ring_gives_finite_numbers(ring, seed):
    assert np.isfinite(drawn(RingMagnitude(*ring, seed=seed), 64)).all()
    assert np.isfinite(drawn(Gamma(*ring, seed=seed), 64)).all()


@pytest.mark.parametrize("max_phase", [0, 0.0, 1e-30, 2 * math.pi])
def test_every_legal_phase_gives_finite_numbers(max_phase):
    log_theta = drawn(RingPhase(max_phase, seed=1))
    assert np.isfinite(log_theta).all()
    assert (np.exp(log_theta) <= max_phase * (1 + 1e-6) + 1e-37).all()


def test_the_smallest_draw_gives_finite_numbers(monkeypatch):
    for draw in (np.zeros, np.ones):
        monkeypatch.setattr(
            keras.random,
            "uniform",
            lambda shape, draw=draw, **_: draw(shape, "float32"),
        )
        for ring in EDGES:
            assert np.isfinite(drawn(RingMagnitude(*ring, seed=1), 1)).all()
            assert np.isfinite(drawn(Gamma(*ring, seed=1), 1)).all()
        assert np.isfinite(drawn(RingPhase(seed=1), 1)).all()


# γ


@settings(deadline=None, max_examples=30)
@given(ring=radii(), seed=st.integers(0, 10**9))
def test_gamma_fits_the_magnitudes_of_the_same_seed(ring, seed):
    nu = np.exp(drawn(RingMagnitude(*ring, seed=seed), 64))
    gamma = np.exp(drawn(Gamma(*ring, seed=seed), 64))
    # γ² = 1 − |λ|², from ν without cancellation; ν is good to a few float32 units of
    # log ν, at most 16 · 6e-8.
    np.testing.assert_allclose(gamma**2, -np.expm1(-2 * nu), rtol=1e-5)


def simulated_gain(eigenvalues, gamma, steps=600, seed=0):
    """E‖x‖² / E‖Bu‖² of a state driven by white noise for a long time."""
    rng = np.random.default_rng(seed)
    state = np.zeros((4, len(eigenvalues)), complex)
    drive = 0.0
    for _ in range(steps):
        u = rng.normal(size=(2, *state.shape)) / math.sqrt(2)
        u = u[0] + 1j * u[1]
        state = eigenvalues * state + gamma * u
        drive += np.mean(np.abs(u) ** 2) / steps
    return np.mean(np.abs(state) ** 2) / drive


@pytest.mark.parametrize("ring", [(0.0, 0.9), (0.5, 0.9), (0.9, 0.99)])
def test_gain_of_proposition_3(ring):
    r_min, r_max = ring
    n = 2000
    modulus = drawn(RingMagnitude(*ring, "modulus", seed=1), n)
    eigenvalues = modulus * np.exp(1j * drawn(RingPhase(form="theta", seed=2), n))
    expected = math.log((1 - r_min**2) / (1 - r_max**2)) / (r_max**2 - r_min**2)
    # 600 steps forget the start: 0.99**600 = 0.002. The mean of 4 · 2000 squares, each
    # as spread as it is large, is good to 1 %, and the drawn radii add about as much in
    # these rings; four standard deviations are 8 %.
    gain = simulated_gain(eigenvalues, 1.0)
    assert abs(gain / expected - 1) < 0.08
    gamma = np.exp(drawn(Gamma(*ring, seed=1), n))
    # Here the radii cancel, 1 % is left.
    assert abs(simulated_gain(eigenvalues, gamma) - 1) < 0.04


# Seeds and configurations


@pytest.mark.parametrize("cls", [RingMagnitude, RingPhase, Gamma])
def test_an_initializer_repeats_itself(cls):
    seeded, random = cls(seed=7), cls()
    np.testing.assert_array_equal(drawn(seeded, 9), drawn(cls(seed=7), 9))
    np.testing.assert_array_equal(drawn(random, 9), drawn(random, 9))
    assert (drawn(random, 9) != drawn(cls(), 9)).any()
    assert (drawn(seeded, 9) != drawn(cls(seed=8), 9)).any()


def test_unseeded_draws_follow_the_global_seed():
    keras.utils.set_random_seed(11)
    first = drawn(RingMagnitude(), 9)
    keras.utils.set_random_seed(11)
    np.testing.assert_array_equal(first, drawn(RingMagnitude(), 9))


@pytest.mark.parametrize(
    "initializer",
    [
        RingMagnitude(0.5, 0.9, "modulus", 3),
        RingPhase(0.3, "theta", 4),
        Gamma(0.5, 0.9, 3),
    ],
    ids=lambda x: type(x).__name__,
)
def test_config_round_trip(initializer):
    cls = type(initializer)
    copies = [
        cls.from_config(initializer.get_config()),
        keras.initializers.deserialize(keras.initializers.serialize(initializer)),
        initializer.clone(),
    ]
    for copy in copies:
        assert type(copy) is cls
        assert copy.get_config() == initializer.get_config()
        np.testing.assert_array_equal(drawn(copy, 5), drawn(initializer, 5))
    name = keras.saving.get_registered_name(cls)
    assert name == f"keras_lru>{cls.__name__}"


def test_numpy_numbers_are_saved_as_python_s():
    r_max, max_phase = np.float32(0.5), np.float32(1.5)
    config = RingMagnitude(r_max=r_max).get_config() | RingPhase(max_phase).get_config()
    assert json.loads(json.dumps(config))["r_max"] == 0.5
    assert config["max_phase"] == 1.5


def test_unseeded_config_stays_unseeded():
    assert RingMagnitude().get_config()["seed"] is None


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_dtype_and_shape(dtype):
    for initializer in (RingMagnitude(seed=1), RingPhase(seed=1), Gamma(seed=1)):
        x = initializer((2, 3), dtype=dtype)
        assert tuple(x.shape) == (2, 3)
        assert keras.backend.standardize_dtype(x.dtype) == dtype
        assert np.isfinite(keras.ops.convert_to_numpy(x).astype("float32")).all()


# Errors


@pytest.mark.parametrize("cls", [RingMagnitude, Gamma])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"r_min": -0.1}, r"`r_min` must be a number in \[0, 1\]. .* r_min=-0.1"),
        ({"r_max": 1.5}, r"`r_max` must be a number in \[0, 1\]. .* r_max=1.5"),
        ({"r_max": math.nan}, r"`r_max` must be .* r_max=nan"),
        ({"r_max": "big"}, r"`r_max` must be .* r_max='big'"),
        ({"r_max": True}, r"`r_max` must be .* r_max=True"),
        (
            {"r_min": 0.9, "r_max": 0.5},
            "`r_min` must not be larger than `r_max`. .* r_min=0.9, r_max=0.5",
        ),
        ({"seed": 1.5}, r"`seed` must be an integer or None. .* seed=1.5"),
        ({"seed": True}, r"`seed` must be .* seed=True"),
    ],
    ids=["r_min", "r_max", "nan", "string", "bool", "order", "seed", "bool-seed"],
)
def test_wrong_ring_is_named(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(**arguments)


@pytest.mark.parametrize("max_phase", [-1, math.inf, math.nan, None, "pi"])
def test_wrong_phase_is_named(max_phase):
    with pytest.raises(ValueError, match=r"`max_phase` must .* max_phase="):
        RingPhase(max_phase)


@pytest.mark.parametrize("cls", [RingMagnitude, RingPhase])
def test_wrong_form_is_named(cls):
    with pytest.raises(ValueError, match=r"`form` must be one of .* form='rho'"):
        cls(form="rho")
