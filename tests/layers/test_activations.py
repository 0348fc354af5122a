import keras
import numpy as np
import pytest
from scipy.special import erfc

from keras_lru.layers.activations import activate


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


def test_any_other_activation_is_itself():
    assert activate(lambda x: x + 1, 2) == 3
