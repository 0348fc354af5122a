"""The layer's recurrence lowers for every kind of device, forward and gradient."""

import keras
import numpy as np
import pytest

from keras_lru.layers import LRU

from ..cases import combinations
from .lru_reference import reference

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.export")


@pytest.mark.parametrize(
    ("scan", "block_size", "masked"),
    combinations(
        ["sequential", "chunked", "associative"],
        [1, 8],
        [False, True],
        fast=[("sequential", 1, True), ("chunked", 8, False), ("associative", 8, True)],
    ),
)
def test_lowers_for_cpu_cuda_and_tpu(scan, block_size, masked):
    import jax

    layer = LRU(4, 6, scan=scan, block_size=block_size, return_sequences=True)
    layer.build((2, 100, 3))
    weights = [v.value for v in layer.trainable_variables]
    mask = np.arange(100) < np.array([[70], [100]]) if masked else None

    def loss(weights, x):
        outputs, _ = layer.stateless_call(weights, [], x, mask=mask)
        return keras.ops.sum(outputs**2)

    x = np.ones((2, 100, 3), "float32")
    exported = jax.export.export(
        jax.jit(jax.value_and_grad(loss)), platforms=("cpu", "cuda", "tpu")
    )(weights, x)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    value, _ = exported.call(weights, x)
    expected, _ = reference(layer, x, mask=mask)
    np.testing.assert_allclose(value, (expected**2).sum(), rtol=1e-4)
