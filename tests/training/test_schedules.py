import math

import keras
import numpy as np
import pytest

from keras_lru.training import warmup_cosine


def rates(schedule, steps):
    return [float(schedule(step)) for step in steps]


def test_rises_linearly_then_falls_along_a_cosine():
    schedule = warmup_cosine(0.004, 100)
    quarter = 0.5 * (1 + math.cos(math.pi / 4)) * (0.004 - 1e-7) + 1e-7
    np.testing.assert_allclose(
        rates(schedule, [0, 1, 5, 10, 55]),
        [1e-7, 0.00040009, 0.00200005, 0.004, 0.00200005],
        rtol=1e-5,
    )
    # 32.5 is a quarter of the way from step 10 to step 100.
    np.testing.assert_allclose(float(schedule(32.5)), quarter, rtol=1e-5)


def test_ends_at_the_minimum_and_stays_there():
    schedule = warmup_cosine(0.004, 100)
    last, end, after = rates(schedule, [99, 100, 10_000])
    assert 1e-7 < last < 3e-6
    np.testing.assert_allclose([end, after], [1e-7, 1e-7], rtol=1e-3)


def test_is_highest_at_the_end_of_the_warmup():
    values = rates(warmup_cosine(0.01, 20, warmup_fraction=0.25), range(21))
    assert np.argmax(values) == 5
    assert np.all(np.diff(values[:6]) > 0)
    assert np.all(np.diff(values[5:]) < 0)


@pytest.mark.parametrize(
    ("total_steps", "warmup_fraction", "warmup_steps"),
    [
        (180_000, 0.1, 18_000),
        (100, 0.29, 29),  # 0.29 * 100 is 28.999999999999996
        (15, 0.1, 2),
        (3, 0.1, 0),
        (2, 0.99, 1),
        (1, 0.99, 0),
    ],
)
def test_warmup_is_rounded_and_leaves_a_step_to_decay(
    total_steps, warmup_fraction, warmup_steps
):
    schedule = warmup_cosine(0.004, total_steps, warmup_fraction)
    assert schedule.warmup_steps == warmup_steps
    assert schedule.warmup_steps + schedule.decay_steps == total_steps
    np.testing.assert_allclose(float(schedule(warmup_steps)), 0.004, rtol=1e-6)
    np.testing.assert_allclose(float(schedule(total_steps)), 1e-7, rtol=1e-3)


def test_without_warmup_starts_at_the_highest_rate():
    schedule = warmup_cosine(0.004, 100, warmup_fraction=0)
    np.testing.assert_allclose(
        rates(schedule, [0, 50, 100]), [0.004, 0.00200005, 1e-7], rtol=1e-3
    )


def test_minimum_may_be_zero_or_the_rate_itself():
    to_zero = warmup_cosine(0.004, 100, min_learning_rate=0)
    assert rates(to_zero, [0, 100]) == [0.0, 0.0]
    constant = warmup_cosine(0.004, 100, min_learning_rate=0.004)
    np.testing.assert_allclose(rates(constant, [0, 5, 10, 55, 100]), 0.004, rtol=1e-6)


def test_takes_integers_and_numpy_numbers():
    schedule = warmup_cosine(1, np.int64(10), np.float32(0.5), 0)
    np.testing.assert_allclose(rates(schedule, [0, 1, 5]), [0, 0.2, 1], rtol=1e-6)


def test_serializes():
    schedule = warmup_cosine(0.004, 100)
    copy = keras.optimizers.schedules.deserialize(
        keras.optimizers.schedules.serialize(schedule)
    )
    steps = [0, 5, 10, 77, 100]
    assert rates(copy, steps) == rates(schedule, steps)


def test_drives_an_optimizer():
    # SGD on the loss `kernel` itself: the kernel falls by the sum of the rates.
    schedule = warmup_cosine(0.5, 10, warmup_fraction=0.2)
    kernel = keras.Variable(0.0, name="kernel")
    optimizer = keras.optimizers.SGD(schedule)
    for _ in range(10):
        optimizer.apply([keras.ops.ones(())], [kernel])
    expected = -sum(rates(schedule, range(10)))
    np.testing.assert_allclose(kernel.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("value", [0, -0.1, math.nan, math.inf, "0.1", None, True])
def test_refuses_a_learning_rate(value):
    with pytest.raises(ValueError, match=r"`learning_rate` must be .* Received"):
        warmup_cosine(value, 100)


@pytest.mark.parametrize("value", [0, -1, 10.0, "10", None, True])
def test_refuses_total_steps(value):
    with pytest.raises(ValueError, match=r"`total_steps` must be .* Received"):
        warmup_cosine(0.1, value)


@pytest.mark.parametrize("value", [-0.1, 1, 1.5, math.nan, None, "0.1"])
def test_refuses_a_warmup_fraction(value):
    with pytest.raises(ValueError, match=r"`warmup_fraction` must be .* Received"):
        warmup_cosine(0.1, 100, warmup_fraction=value)


@pytest.mark.parametrize("value", [-1e-7, 0.2, math.nan, None])
def test_refuses_a_minimum(value):
    with pytest.raises(ValueError, match=r"`min_learning_rate` must be .* Received"):
        warmup_cosine(0.1, 100, min_learning_rate=value)
