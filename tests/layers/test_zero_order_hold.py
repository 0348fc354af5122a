import numpy as np
import pytest
from keras import ops

from keras_lru.layers.zero_order_hold import discretize, input_gain, step_size
from keras_lru.ops.complex import Complex

from ..differentiate import gradients

# Λ from 1e-8 to 1e3, with real part and without, on both sides of the series' end.
MODULI = np.array([1e-8, 1e-4, 0.0099, 0.0101, 0.3, 3.0, 30.0, 1e3])
EIGENVALUES = np.concatenate(
    [-MODULI, 1j * MODULI, MODULI * (-0.6 + 0.8j), MODULI[:-2] * 0.5]
)


def tensors(*arrays):
    return Complex(*(ops.convert_to_tensor(x.astype("float32")) for x in arrays))


def complex_of(pair):
    real, imag = (ops.convert_to_numpy(x).astype("float64") for x in pair)
    return real + 1j * imag


@pytest.mark.parametrize("delta", [1.0, 1e-3])
def test_gain_is_that_of_the_formula(delta):
    z = real, imag = tensors(EIGENVALUES.real, EIGENVALUES.imag)
    found = complex_of(input_gain(z, delta * ops.ones_like(real)))
    exact = (ops.convert_to_numpy(real) + 1j * ops.convert_to_numpy(imag)).astype(
        "complex128"
    )
    expected = np.expm1(exact * delta) / exact
    # A few roundings; those of a phase of 1000 are 6e-5.
    tolerance = 1e-6 + 1e-7 * delta * abs(EIGENVALUES)
    assert (abs(found - expected) <= tolerance * abs(expected)).all()


def test_derivative_by_delta_is_the_transition():
    z = tensors(EIGENVALUES.real, EIGENVALUES.imag)
    delta = 0.01 * ops.ones_like(z.real)
    for part, of in ((0, np.real), (1, np.imag)):
        (found,) = gradients(
            lambda d, part=part: ops.sum(input_gain(z, d)[part]), delta
        )
        expected = of(np.exp(0.01 * EIGENVALUES))
        np.testing.assert_allclose(
            ops.convert_to_numpy(found), expected, rtol=1e-4, atol=1e-5
        )


def test_zero_eigenvalue():
    """Λ → 0: the gain is Δ, and its derivative by Λ is Δ²/2."""
    z, delta = tensors(np.zeros(1), np.zeros(1)), ops.full((1,), 0.1)
    np.testing.assert_allclose(complex_of(input_gain(z, delta)), 0.1, rtol=1e-6)
    by_real, by_imag = gradients(
        lambda re, im: ops.sum(input_gain(Complex(re, im), delta)[0]), *z
    )
    np.testing.assert_allclose(ops.convert_to_numpy(by_real), 0.005, rtol=1e-5)
    np.testing.assert_allclose(ops.convert_to_numpy(by_imag), 0, atol=1e-9)


@pytest.mark.parametrize("log_delta", [-1e30, -100.0, 100.0, 1e30])
def test_any_step_size_is_finite(log_delta):
    delta = step_size(ops.full((1,), log_delta))
    z = Complex(-0.5 * ops.ones((1,)), 1e4 * ops.ones((1,)))
    for x in (*discretize(z, delta), *input_gain(z, delta)):
        assert np.isfinite(ops.convert_to_numpy(x)).all()
    for x in gradients(
        lambda re, im, d: sum(ops.sum(x) for x in input_gain(Complex(re, im), d)),
        *z,
        delta,
    ):
        assert np.isfinite(ops.convert_to_numpy(x)).all()
