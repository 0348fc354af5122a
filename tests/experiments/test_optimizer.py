import numpy as np
import pytest

from keras_lru.experiments import get_preset, make_optimizer
from keras_lru.training import AdamW


def rates(optimizer, steps):
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in steps]


def test_follows_the_preset():
    preset = get_preset("scifar")
    optimizer = make_optimizer(preset)
    assert isinstance(optimizer, AdamW)
    assert optimizer.weight_decay == 0.05
    assert optimizer.recurrent_lr_factor == 0.25
    # Warmup over a tenth of the 180 000 steps, then a cosine.
    np.testing.assert_allclose(
        rates(optimizer, [0, 9_000, 18_000, 99_000, 180_000]),
        [1e-7, 0.002, 0.004, 0.002, 1e-7],
        rtol=1e-3,
    )


def test_total_steps_shorten_the_schedule():
    optimizer = make_optimizer(get_preset("scifar"), total_steps=100)
    np.testing.assert_allclose(rates(optimizer, [10, 100]), [0.004, 1e-7], rtol=1e-3)


def test_arguments_replace_the_preset_s():
    optimizer = make_optimizer(
        get_preset("text"), learning_rate=0.1, weight_decay=0.0, global_clipnorm=1.0
    )
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert optimizer.weight_decay == 0.0
    assert optimizer.global_clipnorm == 1.0
    assert optimizer.recurrent_lr_factor == 0.1


def test_refuses_total_steps():
    with pytest.raises(ValueError, match=r"`total_steps` must be .* Received"):
        make_optimizer(get_preset("text"), total_steps=0)
