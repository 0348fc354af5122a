import keras
import numpy as np
import pytest
from scipy.special import erfc

from keras_lru.layers.activations import activate

from .. import differentiate


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_exact_gelu_is_keras_own(dtype):
    x = keras.ops.cast(np.linspace(-8, 8, 201), dtype)
    found = activate(keras.activations.gelu, x)
    assert keras.backend.standardize_dtype(found.dtype) == dtype
    x, found = (
        keras.ops.convert_to_numpy(keras.ops.cast(y, "float32")) for y in (x, found)
    )
    expected = 0.5 * x * erfc(-x.astype("float64") * np.sqrt(0.5))
    # The rounding of 1 + erf, times 8; of half precision that of a product more.
    tolerance = {"float32": (1e-6, 1e-6), "bfloat16": (2e-2, 1e-3)}[dtype]
    np.testing.assert_allclose(found, expected, rtol=tolerance[0], atol=tolerance[1])


def test_the_gradients_of_gelu_are_those_of_the_formula():
    x = np.linspace(-6, 6, 61)
    cumulative = 0.5 * erfc(-x * np.sqrt(0.5))
    density = np.exp(-0.5 * x * x) / np.sqrt(2 * np.pi)

    def slope(x):
        gelu = keras.activations.gelu
        return differentiate.gradients(lambda x: keras.ops.sum(activate(gelu, x)), x)[0]

    x32 = keras.ops.convert_to_tensor(x.astype("float32"))
    first = keras.ops.convert_to_numpy(slope(x32))
    np.testing.assert_allclose(first, cumulative + x * density, atol=1e-6)
    (second,) = differentiate.gradients(lambda x: keras.ops.sum(slope(x)), x32)
    expected = (2.0 - x * x) * density
    np.testing.assert_allclose(keras.ops.convert_to_numpy(second), expected, atol=2e-6)


def test_any_other_activation_is_itself():
    assert activate(lambda x: x + 1, 2) == 3
