import numpy as np
import pytest
from keras import ops

from keras_lru.ops.complex import (
    Complex,
    Polar,
    conjugate,
    pack,
    safe_exp,
    to_polar,
    unpack,
)


def pair(x):
    return Complex(np.real(x).astype("float32"), np.imag(x).astype("float32"))


def joined(z):
    real, imag = (ops.convert_to_numpy(part).astype("float64") for part in z)
    return real + 1j * imag


def eigenvalues(low=0.9, high=1.0, n=200):
    rng = np.random.default_rng(0)
    log_modulus = np.log(rng.uniform(low, high, n)).astype("float32")
    angle = rng.uniform(-2 * np.pi, 2 * np.pi, n).astype("float32")
    angle[0] = np.float32(2 * np.pi)
    return Polar(log_modulus, angle)


def tensors(polar):
    return Polar(*map(ops.convert_to_tensor, polar))


def exact_power(log_modulus, angle, exponent):
    """In float64, of the numbers that float32 holds."""
    return np.exp(exponent * (log_modulus.astype("float64") + 1j * angle))


def random_complex(*shape):
    rng = np.random.default_rng(len(shape))
    return (rng.normal(size=shape) + 1j * rng.normal(size=shape)).astype("complex64")


def test_sums_products_and_conjugates():
    a, b = random_complex(3), random_complex(2, 4, 3)
    # Two products and a sum, each rounded to 6e-8.
    close = {"rtol": 1e-6, "atol": 1e-6}
    np.testing.assert_allclose(joined(pair(a) * pair(b)), a * b, **close)
    np.testing.assert_allclose(joined(pair(a) + pair(b)), a + b, **close)
    np.testing.assert_array_equal(joined(conjugate(pair(b))), b.conj())
    np.testing.assert_array_equal(joined(pair(b).map(lambda x: x[1])), b[1])


def test_real_numbers_are_their_own_conjugates_and_packed_already():
    x = np.float32([1, 2])
    assert conjugate(x) is x
    assert pack(x) is x


def test_packed_numbers_hold_the_real_parts_first():
    packed = pack(pair(np.array([1 + 2j, 3 + 4j])))
    np.testing.assert_array_equal(ops.convert_to_numpy(packed), [1, 3, 2, 4])
    np.testing.assert_array_equal(joined(unpack(packed)), [1 + 2j, 3 + 4j])


# What the exponent costs: up to 256 only the rounding of j·log|λ| and of sin and cos,
# beyond, each of the log2(j / 256) squarings doubles the relative error.
@pytest.mark.parametrize(
    ("exponent", "bound"),
    [
        (0, 0),
        (1, 3e-7),
        (2, 3e-7),
        (64, 5e-7),
        (256, 5e-7),
        (257, 2e-6),
        (1000, 4e-6),
        (16384, 5e-5),
        (65536, 2e-4),
    ],
)
def test_power_against_float64(exponent, bound):
    polar = eigenvalues(low=0.9999)
    actual = joined(tensors(polar).power(exponent))
    expected = exact_power(*polar, exponent)
    error = np.abs(actual - expected) / np.abs(expected)
    assert error.max() <= bound


@pytest.mark.parametrize("exponent", [0, 1, 64, 1024, 3 * 2**14])
def test_real_power_against_float64(exponent):
    polar = eigenvalues(low=0.9999)
    actual = joined(tensors(polar).real_power(float(exponent)))
    expected = exact_power(*polar, exponent)
    # Rounding of exp, sin and cos, and of what is left of the angle without its whole
    # turns of a 1024th, which is below 0.004.
    error = np.abs(actual - expected) / np.abs(expected)
    assert error.max() <= 2e-6 + 5e-10 * exponent


def test_powers_are_the_power_of_each_exponent():
    polar = eigenvalues(0.5, n=5)
    for exponents in ([], [0], [3, 2, 1, 0], [1, 64, 256], [1, 300]):
        actual = joined(tensors(polar).powers(exponents))
        assert actual.shape == (len(exponents), 5)
        for j, row in zip(exponents, actual, strict=True):
            np.testing.assert_allclose(row, joined(tensors(polar).power(j)), atol=1e-7)


def test_large_powers_beside_small_ones_are_as_exact():
    polar = eigenvalues(low=0.9999)
    exponents = [*range(0, 1025, 128), 1023]
    actual = joined(tensors(polar).powers(exponents))
    expected = np.stack([exact_power(*polar, j) for j in exponents])
    # As above for 1 000; of products of the first power it would be 1 000 roundings.
    assert (np.abs(actual - expected) / np.abs(expected)).max() <= 4e-6


def both_parts(log_modulus, angle, exponent):
    return Polar(log_modulus, angle).power(exponent)


@pytest.mark.parametrize("exponent", [1, 4, 64, 1000])
def test_gradient_of_a_power(evaluate, error, fast_mode, exponent):
    log_modulus, angle = eigenvalues(low=0.99, n=50)
    weights = random_complex(50).astype("complex128")
    _, gradients = evaluate(
        both_parts,
        {"log_modulus": log_modulus, "angle": angle},
        pair(weights),
        fast_mode,
        exponent=exponent,
    )
    # d(a^j) = j·a^j·d(log a); the loss is Re(conj(w)·a^j).
    derivative = weights.conj() * exponent * exact_power(log_modulus, angle, exponent)
    assert error(gradients["log_modulus"], derivative.real) < 1e-5
    assert error(gradients["angle"], -derivative.imag) < 1e-5


@pytest.mark.parametrize("log_modulus", [-80.0, -1e30, 0.0])
def test_power_and_its_gradient_are_finite_at_the_edges(
    evaluate, fast_mode, log_modulus
):
    arguments = {
        "log_modulus": np.full(2, log_modulus, "float32"),
        "angle": np.float32([0.0, 1e30]),
    }
    ones = [np.ones(2, "float32")] * 2
    for exponent in (0, 1, 256, 16384):
        values, gradients = evaluate(
            both_parts, arguments, ones, fast_mode, exponent=exponent
        )
        for x in (*values, *gradients.values()):
            assert np.isfinite(x).all()


def test_polar_form_gives_the_number_back():
    a = random_complex(50)
    back = joined(to_polar(pair(a)).power(1))
    np.testing.assert_allclose(back, a, rtol=1e-6, atol=1e-6)


def polar_form(real, imag):
    return to_polar(Complex(real, imag))


def test_polar_form_and_its_gradient_at_zero(evaluate, fast_mode):
    tiny = np.float32([0.0, -0.0, 1e-30, -1e-20, 1e-18])
    arguments = {"real": tiny, "imag": tiny[::-1] * np.float32([0, 0, 1, 1, 1])}
    values, gradients = evaluate(
        polar_form, arguments, [np.ones(5, "float32")] * 2, fast_mode
    )
    for x in (*values, *gradients.values()):
        assert np.isfinite(x).all()
    assert (values[0][:2] < -40).all()


def test_safe_exp_is_finite_everywhere(evaluate, fast_mode):
    x = np.float32([-1e38, -100, -1, 0, 1, 100, 1e38])
    (y,), gradients = evaluate(safe_exp, {"x": x}, [np.ones_like(x)], fast_mode)
    np.testing.assert_allclose(y[2:5], np.exp([-1, 0, 1]), rtol=1e-6)
    np.testing.assert_allclose(gradients["x"][2:5], np.exp([-1, 0, 1]), rtol=1e-6)
    assert np.isfinite(y).all()
    assert (y > 0).all()
    assert np.isfinite(gradients["x"]).all()
