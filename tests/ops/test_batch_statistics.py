import numpy as np
import pytest
from keras import ops

from keras_lru.ops.batch_statistics import normalize_by_batch

from .. import differentiate

EPSILON = 1e-3


def draw(shape, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(2.0, 1.5, shape)
    return [x, rng.uniform(0.5, 2.0, shape[-1:]), rng.normal(size=shape[-1:])]


def by_hand(x, scale, offset):
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    return [(x - mean) / np.sqrt(variance + EPSILON) * scale + offset, mean, variance]


def difference(arguments, weights, index, position):
    """Of the weighted sum of all results, by one number of one argument."""
    loss = []
    for step in (1e-5, -1e-5):
        moved = [x.copy() for x in arguments]
        moved[index][position] += step
        results = by_hand(*moved)
        loss.append(sum(np.sum(x * w) for x, w in zip(results, weights, strict=True)))
    return (loss[0] - loss[1]) / 2e-5


@pytest.mark.parametrize("shape", [(2, 3, 4), (5, 2), (1, 1, 3)])
def test_values_and_gradients_are_those_of_the_formula(error, shape):
    arguments = draw(shape)
    weights = [
        np.random.default_rng(1).normal(size=x.shape) for x in by_hand(*draw(shape))
    ]
    values, gradients = differentiate.pull_back(
        lambda *args: normalize_by_batch(*args, EPSILON),
        [x.astype("float32") for x in arguments],
        [x.astype("float32") for x in weights],
    )
    for x, y in zip(values, by_hand(*arguments), strict=True):
        # The rounding of x, of which the mean is subtracted, over a deviation of ε.
        assert error(x, y) < 1e-5
    for i, gradient in enumerate(gradients):
        expected = np.zeros(arguments[i].shape)
        for position in np.ndindex(expected.shape):
            expected[position] = difference(arguments, weights, i, position)
        # One step has no deviation: its gradient is what the others' roundings leave.
        scale = 1 / np.sqrt(EPSILON) if shape == (1, 1, 3) else 1.0
        np.testing.assert_allclose(
            ops.convert_to_numpy(gradient), expected, atol=1e-5 * scale
        )


def test_second_derivative():
    x, scale, offset = (x.astype("float32") for x in draw((4, 3)))

    def slope(x):
        (gradient,) = differentiate.gradients(
            lambda x: ops.sum(normalize_by_batch(x, scale, offset, EPSILON)[0] ** 3), x
        )
        return ops.sum(gradient * x)

    (found,) = differentiate.gradients(slope, x)

    # Of degree 3 and free of scale up to ε: checked against differences of slopes.
    direction = np.random.default_rng(2).normal(size=x.shape).astype("float32")
    step = 1e-2
    above, below = (
        float(slope(ops.convert_to_tensor(x + s * direction))) for s in (step, -step)
    )
    expected = (above - below) / (2 * step)
    actual = float(np.sum(ops.convert_to_numpy(found) * direction))
    assert abs(actual - expected) < 2e-2 * max(1.0, abs(expected))
