"""The kernels, interpreted: the programs that a GPU and a TPU would run."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import layers
from keras_lru.ops import linear_recurrence, naive

IS_JAX = keras.backend.backend() == "jax"
# One sequence, number and step; more than fit side by side, steps that leave a rest.
SHAPES = [(1, 1, 1), (2, 16, 32), (9, 37, 33)]


@pytest.mark.skipif(not IS_JAX, reason="Pallas is JAX's")
@pytest.mark.parametrize("device", ["gpu", "tpu"])
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
@pytest.mark.parametrize("varies", [False, True], ids=["constant", "varying"])
@pytest.mark.parametrize("parts", [1, 2], ids=["real", "complex"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_matches_the_loop(monkeypatch, device, reverse, varies, parts, after):
    from keras_lru.backend import pallas

    # So that a TPU's program gets several stretches of time.
    monkeypatch.setattr(pallas, "_STEPS_BYTES", 1)
    rng = np.random.default_rng(0)
    for batch, length, n in SHAPES:
        shape = (batch, length, parts * n)
        # Moduli below one: no number grows.
        a = rng.uniform(-0.7, 0.7, shape if varies else shape[2:]).astype("float32")
        b = rng.normal(size=shape).astype("float32")
        state = rng.normal(size=(batch, parts * n)).astype("float32")
        run = getattr(pallas, f"on_{device}")
        entering = state
        if after:
            first = a[:, -1 if reverse else 0] if varies else a
            entering = packed(numbers(first, parts) * numbers(state, parts), parts)
        states, last = run(a, b, entering, parts, reverse, after, interpret=True)

        expected, end = naive.linear_recurrence(
            *(numbers(x, parts) for x in (a, b, state)), reverse
        )
        begin = numbers(state, parts)[:, None]
        if not after and reverse:
            expected = np.concatenate([expected[:, 1:], begin], axis=1)
        elif not after:
            expected = np.concatenate([begin, expected[:, :-1]], axis=1)
        # float32 keeps 6e-8 of sums below 20.
        np.testing.assert_allclose(numbers(states, parts), expected, atol=5e-6)
        np.testing.assert_allclose(numbers(last, parts), end, atol=5e-6)


def numbers(x, parts):
    """Of packed real numbers, in double precision."""
    x = np.asarray(x, "float64")
    if parts == 1:
        return x
    n = x.shape[-1] // 2
    return x[..., :n] + 1j * x[..., n:]


def packed(x, parts):
    """Packed real numbers, in single precision."""
    x = x if parts == 1 else np.concatenate([x.real, x.imag], axis=-1)
    return x.astype("float32")


@pytest.mark.skipif(IS_JAX, reason="JAX has Pallas")
def test_other_backends_refuse_it_in_a_sentence():
    """A layer that asks for it is made, loaded from a file, and may be changed."""
    layer = layers.LRU(2, scan="pallas")
    with pytest.raises(ValueError, match=r"`scan=\"pallas\"` needs the JAX backend"):
        layer(ops.ones((1, 3, 2)))
    layer.scan = "auto"
    assert layer(ops.ones((1, 3, 2))).shape == (1, 2)
    x = ops.ones((1, 3, 2))
    with pytest.raises(ValueError, match="needs the JAX backend"):
        linear_recurrence(x, x, scan="pallas")


@pytest.mark.skipif(not IS_JAX, reason="Pallas is JAX's")
def test_a_batch_of_unknown_size_is_exported():
    """As for serving: a kernel is made for one size."""
    from jax import export

    a, layer = np.float32([0.5, 0.25]), layers.LRU(2, scan="pallas")
    layer.build((None, 5, 2))
    shape = export.symbolic_shape("batch,5,2")
    import jax

    for function in (layer, lambda x: linear_recurrence(a, x, scan="pallas")[0]):
        exported = export.export(jax.jit(function))(
            jax.ShapeDtypeStruct(shape, "float32")
        )
        x = np.random.default_rng(0).normal(size=(3, 5, 2)).astype("float32")
        np.testing.assert_allclose(exported.call(x), function(x), atol=1e-6)
