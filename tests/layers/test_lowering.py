"""The recurrences lower for every kind of device, forward and gradient."""

import keras
import numpy as np
import pytest

from .kinds import KINDS
from .sequences import BATCH

pytestmark = pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.export")

ALGORITHMS = [("sequential", 1), ("chunked", 8), ("associative", 8)]
FAST = [("lru", "sequential", 1), ("lru", "associative", 8)]


def cases():
    for kind in KINDS.values():
        for scan, size in ALGORITHMS if kind.solver_options else [(None, None)]:
            for masked in (True, False):
                fast = masked and (kind.name, scan, size) in FAST
                yield pytest.param(
                    kind.solved_by(scan, size) if scan else kind,
                    masked,
                    id=f"{kind}-{scan}-{size}-{masked}",
                    marks=() if fast else pytest.mark.slow,
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
