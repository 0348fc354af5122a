import keras
import numpy as np
import pytest
import scipy.stats

from keras_lru.initializers.hippo import (
    ContinuousEigenvalues,
    LogTimescale,
    hippo_legs,
    hippo_normal,
)


def drawn(initializer, shape):
    return keras.ops.convert_to_numpy(initializer(shape)).astype("float64")


# HiPPO


def test_hippo_legs_by_hand():
    root3, root5, root15 = np.sqrt([3, 5, 15])
    expected = [[-1, 0, 0], [-root3, -2, 0], [-root5, -root15, -3]]
    np.testing.assert_allclose(hippo_legs(3), expected, rtol=1e-14)


@pytest.mark.parametrize("n", [1, 2, 5, 64])
def test_normal_part_and_rank_one_are_hippo_legs(n):
    eigenvalues, V = hippo_normal(n)
    normal = (V * eigenvalues) @ V.conj().T
    root = np.sqrt(np.arange(n) + 0.5)
    np.testing.assert_allclose(
        normal - np.outer(root, root), hippo_legs(n), atol=1e-12 * n
    )
    np.testing.assert_allclose(V.conj().T @ V, np.eye(n), atol=1e-13)
    np.testing.assert_array_equal(eigenvalues.real, -0.5)
    np.testing.assert_allclose(
        normal @ normal.conj().T, normal.conj().T @ normal, atol=1e-12 * n**2
    )


def test_halves_are_conjugate():
    eigenvalues, _ = hippo_normal(8)
    assert (eigenvalues[4:].imag > 0).all()
    np.testing.assert_allclose(eigenvalues[:4][::-1], eigenvalues[4:].conj())


# Eigenvalues


def test_spectra_by_hand():
    """N = 4: Lin has 0 and π, Inv (4/π)(4 − 1) and (4/π)(4/3 − 1)."""
    for spectrum, expected in (
        ("lin", [0, np.pi]),
        ("inv", [12 / np.pi, 4 / 3 / np.pi]),
        ("legs", np.sort(np.linalg.eigvals(_skew(4)).imag)[2:]),
    ):
        imag = drawn(ContinuousEigenvalues(spectrum, "im"), (3, 2))
        np.testing.assert_allclose(imag, [expected] * 3, rtol=1e-6)
        np.testing.assert_array_equal(
            drawn(ContinuousEigenvalues(spectrum, "re"), (2,)), [-0.5, -0.5]
        )
        np.testing.assert_allclose(
            drawn(ContinuousEigenvalues(spectrum, "nu_log"), (2,)), np.log(0.5)
        )


def _skew(n):
    lower = np.tril(hippo_legs(n), -1)
    return (lower - lower.T) / 2


# Timescales


def test_timescales_are_log_uniform():
    values = drawn(LogTimescale(0.001, 0.1, seed=3), (4000,))
    low, high = np.log([0.001, 0.1])
    # The seed is fixed: either it is in the middle 99 % of all seeds or it is not.
    assert scipy.stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.01


def test_equal_timescales():
    np.testing.assert_allclose(
        drawn(LogTimescale(0.01, 0.01), (3,)), np.log(0.01), rtol=1e-6
    )


def test_timescales_repeat_themselves():
    seeded, random = LogTimescale(seed=7), LogTimescale()
    np.testing.assert_array_equal(drawn(seeded, (9,)), drawn(seeded.clone(), (9,)))
    np.testing.assert_array_equal(drawn(random, (9,)), drawn(random, (9,)))
    assert (drawn(random, (9,)) != drawn(LogTimescale(), (9,))).any()


@pytest.mark.parametrize(
    "initializer",
    [LogTimescale(0.01, 0.2, 3), ContinuousEigenvalues("inv", "nu_log")],
    ids=lambda x: type(x).__name__,
)
def test_config_round_trip(initializer):
    copy = keras.initializers.deserialize(keras.initializers.serialize(initializer))
    assert type(copy) is type(initializer)
    assert copy.get_config() == initializer.get_config()


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dt_min": 0}, "`dt_min` must be a finite number > 0. .* dt_min=0"),
        ({"dt_max": np.inf}, "`dt_max` must be .* dt_max=inf"),
        ({"dt_max": "1"}, "`dt_max` must be .* dt_max='1'"),
        (
            {"dt_min": 0.2, "dt_max": 0.1},
            "`dt_min` must not be larger than `dt_max`. .* dt_min=0.2, dt_max=0.1",
        ),
        ({"seed": 1.5}, "`seed` must be an integer or None. .* seed=1.5"),
    ],
    ids=str,
)
def test_wrong_timescale_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        LogTimescale(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"spectrum": "fou"}, "`spectrum` must be one of .*'fou'"),
        ({"part": "abs"}, "`part` must be one of .*'abs'"),
    ],
)
def test_wrong_eigenvalues_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ContinuousEigenvalues(**arguments)
