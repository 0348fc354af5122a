"""The Dense layer inside blocks: Keras's own, as one product of two matrices."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRUBackbone, LRUBlock
from keras_lru.layers.dense import Dense

from .sequences import CLOSE, normal


def softmax_over_time(x):
    return ops.softmax(x, axis=1)


def both(**arguments):
    """A layer of ours and one of Keras's with the same weights."""
    layers = Dense(4, **arguments), keras.layers.Dense(4, **arguments)
    for layer in layers:
        layer.build((None, None, 3))
        weights = [normal(*w.shape, seed=i) for i, w in enumerate(layer.weights)]
        layer.set_weights(weights)
    return layers


@pytest.mark.parametrize("shape", [(2, 5, 3), (1, 1, 3), (2, 0, 3), (0, 5, 3), (2, 3)])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"use_bias": False}, {"activation": "sigmoid"}, {"dtype": "mixed_bfloat16"}],
    ids=str,
)
def test_it_does_what_dense_does(shape, arguments):
    x = np.zeros(shape, "float32") if 0 in shape else normal(*shape)
    found, expected = (
        ops.convert_to_numpy(ops.cast(layer(x), "float32"))
        for layer in both(**arguments)
    )
    assert found.shape == expected.shape
    # bfloat16 has 8 bits.
    close = {"rtol": 2e-2, "atol": 2e-2} if "dtype" in arguments else CLOSE
    np.testing.assert_allclose(found, expected, **close)


def test_an_activation_sees_the_sequences():
    ours, keras_s = both(activation=softmax_over_time)
    x = normal(2, 5, 3)
    found, expected = map(ops.convert_to_numpy, (ours(x), keras_s(x)))
    np.testing.assert_allclose(found, expected, **CLOSE)


def test_lora_and_int8():
    ours, keras_s = both()
    x = normal(2, 5, 3)
    for layer in (ours, keras_s):
        layer.enable_lora(2)
        layer.lora_kernel_a.assign(normal(3, 2, seed=4))
        layer.lora_kernel_b.assign(normal(2, 4, seed=5))
    found, expected = map(ops.convert_to_numpy, (ours(x), keras_s(x)))
    np.testing.assert_allclose(found, expected, **CLOSE)
    for layer in (ours, keras_s):
        layer.quantize("int8")
    found, expected = map(ops.convert_to_numpy, (ours(x), keras_s(x)))
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


@pytest.mark.parametrize(
    "make",
    [lambda: LRUBlock(4, return_sequences=True), lambda: LRUBackbone(2, 4)],
    ids=["block", "backbone"],
)
def test_sequences_without_steps(make):
    assert tuple(make()(np.zeros((2, 0, 3), "float32")).shape) == (2, 0, 4)


def test_a_static_batch_stays_known():
    x = keras.Input((None, 3), batch_size=2)
    assert Dense(4)(x).shape == (2, None, 4)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        layer = Dense(4)
        layer.build((2, None, 3))
        traced = tf.function(layer).get_concrete_function(tf.TensorSpec((2, None, 3)))
        assert traced.output_shapes.as_list() == [2, None, 4]
