import keras
import numpy as np
import pytest

from keras_lru.layers.spatial_dropout import SpatialDropout

from .. import differentiate


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_it_drops_what_that_of_keras_drops(dtype):
    x = np.random.default_rng(0).normal(size=(3, 4, 16)).astype("float32")
    found, expected = (
        keras.ops.convert_to_numpy(
            keras.ops.cast(make(0.4, seed=7, dtype=dtype)(x, training=True), "float32")
        )
        for make in (SpatialDropout, keras.layers.SpatialDropout1D)
    )
    assert 0 < (found == 0).sum() < found.size
    # One rounding more of the factor.
    np.testing.assert_allclose(
        found, expected, rtol=1e-6 if dtype == "float32" else 1e-2
    )


def test_the_gradient_is_the_factor():
    layer = SpatialDropout(0.4, seed=7)
    x = np.ones((2, 3, 8), "float32")
    values, (gradient,) = differentiate.pull_back(
        lambda x: [layer(x, training=True)], [x], [np.ones_like(x)]
    )
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(gradient), keras.ops.convert_to_numpy(values[0])
    )


@pytest.mark.parametrize(("rate", "training"), [(0.0, True), (0.4, False)])
def test_it_may_drop_nothing(rate, training):
    x = np.ones((2, 3, 8), "float32")
    y = SpatialDropout(rate)(x, training=training)
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(y), x)


def test_config_round_trip():
    layer = SpatialDropout(0.4, seed=7, name="drop")
    assert (
        SpatialDropout.from_config(layer.get_config()).get_config()
        == layer.get_config()
    )
