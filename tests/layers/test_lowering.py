"""The recurrences lower for every kind of device, forward and gradient."""

import keras
import numpy as np
import pytest

from .kinds import KINDS
from .sequences import BATCH

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.export")

# Each scan, each with blocks and without; masks with one or the other.
CASES = {
    "lru": [
        ("sequential", 1, True),
        ("sequential", 8, False),
        ("chunked", 1, False),
        ("chunked", 8, True),
        ("associative", 1, False),
        ("associative", 8, True),
    ],
    "s4d": [("sequential", 8, True), ("associative", 8, False)],
    "s5": [("associative", 8, True)],
    "dense_rnn": [("auto", "auto", True)],
    "rg_lru": [("sequential", 1, False), ("associative", 8, True)],
}
FAST = [("lru", "sequential", 1, True), ("lru", "associative", 8, True)]


def cases():
    for name, choices in CASES.items():
        for scan, size, masked in choices:
            yield pytest.param(
                KINDS[name].solved_by(scan, size),
                masked,
                id=f"{name}-{scan}-{size}-{masked}",
                marks=() if (name, scan, size, masked) in FAST else pytest.mark.slow,
            )


@pytest.mark.parametrize(("kind", "masked"), [*cases()])
def test_lowers_for_cpu_cuda_and_tpu(kind, masked):
    import jax

    layer = kind.make(return_sequences=True)
    weights = [v.value for v in layer.trainable_variables]
    lengths = np.array([[70], [100], [1]])
    mask = np.arange(100) < lengths if masked else None

    def loss(weights, x):
        outputs, _ = layer.stateless_call(weights, [], x, mask=mask)
        return keras.ops.sum(outputs**2)

    x = np.ones((BATCH, 100, kind.features), "float32")
    exported = jax.export.export(
        jax.jit(jax.value_and_grad(loss)), platforms=("cpu", "cuda", "tpu")
    )(weights, x)
    assert exported.platforms == ("cpu", "cuda", "tpu")
    value, _ = exported.call(weights, x)
    expected = kind.outputs(layer, x, mask=mask)
    np.testing.assert_allclose(value, (expected**2).sum(), rtol=1e-4)
