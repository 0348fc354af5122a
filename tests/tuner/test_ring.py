import math

import keras_tuner
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keras_lru import LRU
from keras_lru.tuner import ring_hyperparameters

UNIT = st.floats(0, 1)
BELOW_1 = st.floats(0, 1, exclude_max=True)


def ranges(low, high):
    pairs = st.tuples(st.floats(low, high), st.floats(low, high)).map(sorted)
    return pairs.filter(lambda pair: pair[0] < pair[1]).map(tuple)


def draw(probabilities, **kwargs):
    """The ring at given places of each hyperparameter's range."""
    hp = keras_tuner.HyperParameters()
    ring_hyperparameters(hp, **kwargs)
    for entry, probability in zip(hp.space, probabilities, strict=False):
        hp.values[entry.name] = entry.prob_to_value(probability)
    return ring_hyperparameters(hp, **kwargs), hp


def names(**kwargs):
    return [entry.name for entry in draw([0.5] * 3, **kwargs)[1].space]


def assert_legal(ring):
    assert [type(value) for value in ring.values()] == [float] * 3
    assert 0 <= ring["r_min"] <= ring["r_max"] <= 1
    LRU(2, **ring)


@given(
    st.tuples(BELOW_1, BELOW_1, BELOW_1),
    ranges(0, math.nextafter(1, 0)),
    ranges(0, 1),
    ranges(1e-6, 2 * math.pi),
)
def test_every_draw_is_a_legal_ring(places, r_max, r_min_fraction, max_phase):
    ring, _ = draw(
        places, r_max=r_max, r_min_fraction=r_min_fraction, max_phase=max_phase
    )
    assert_legal(ring)
    assert r_max[0] <= ring["r_max"] <= r_max[1]


@given(st.tuples(BELOW_1, BELOW_1, BELOW_1), ranges(0, 1), UNIT, st.data())
def test_every_draw_with_fixed_values_is_legal(places, r_max, r_min, data):
    fixed = {"r_max": r_max[1], "r_min": min(r_min, r_max[0]), "max_phase": 0.1}
    kept = data.draw(st.sets(st.sampled_from(sorted(fixed))))
    fixed = {name: fixed[name] for name in kept}
    r_max = (r_max[0], min(r_max[1], math.nextafter(1, 0)))
    assume(r_max[0] < r_max[1])
    ring, _ = draw(places, r_max=r_max, fixed=fixed)
    assert_legal(ring)
    assert {name: ring[name] for name in kept} == fixed


def test_a_grid_of_both_radii():
    grid = {"r_min": [0.0, 0.5, 0.9], "r_max": [0.9, 0.99, 0.999]}
    ring, hp = draw([0.5, 0.99, 0.5], **grid)
    assert [entry.name for entry in hp.space] == ["r_max", "r_min", "max_phase"]
    assert (ring["r_max"], ring["r_min"]) == (0.99, 0.9)
    for wrong in ([0.95], (0.0, 0.5), 0.5, [-0.1]):
        with pytest.raises(ValueError, match=r"`r_min`"):
            draw([0.5] * 3, **{**grid, "r_min": wrong})
    with pytest.raises(ValueError, match=r"`r_min` must be a list .* not in `fixed`"):
        draw([0.5] * 3, **grid, fixed={"r_min": 0.0})


@given(st.tuples(BELOW_1, BELOW_1, BELOW_1), st.lists(UNIT, min_size=1, unique=True))
def test_every_choice_is_legal(places, choices):
    ring, _ = draw(places, r_max=choices, r_min_fraction=choices, max_phase=choices)
    assert_legal(ring)
    assert ring["r_max"] in choices


def test_searches_on_logarithmic_scales():
    # Halfway: the geometric mean of 0.1 and 0.001, and of 0.01 and 1.
    ring, _ = draw(
        [0.5, 0.5, 0.5],
        r_max=(0.9, 0.999),
        r_min_fraction=(0.2, 0.4),
        max_phase=(0.01, 1.0),
    )
    assert ring["r_max"] == pytest.approx(0.99)
    assert ring["r_min"] == pytest.approx(0.3 * 0.99)
    assert ring["max_phase"] == pytest.approx(0.1)


def test_r_min_follows_r_max_after_the_first_draw():
    # KerasTuner would freeze the bounds of `r_min` at those of the first `r_max`.
    hp = keras_tuner.HyperParameters()
    for distance, r_max in [(0.1, 0.9), (0.0001, 0.9999)]:
        hp.values.update({"one_minus_r_max": distance, "r_min_fraction": 1.0})
        ring = ring_hyperparameters(hp)
        assert ring["r_min"] == ring["r_max"] == pytest.approx(r_max)


def test_names_its_hyperparameters():
    assert names() == ["one_minus_r_max", "r_min_fraction", "max_phase"]
    assert names(prefix="slow_") == [f"slow_{name}" for name in names()]
    assert names(r_max=[0.9, 0.99]) == ["r_max", "r_min_fraction", "max_phase"]


def test_does_not_search_what_is_fixed():
    assert names(fixed={"r_min": 0.5}) == ["one_minus_r_max", "max_phase"]
    assert names(fixed={"r_max": 1}) == ["r_min_fraction", "max_phase"]
    fixed = {"r_min": 0, "r_max": 1, "max_phase": 0}
    ring, hp = draw([], fixed=fixed)
    assert ring == fixed
    assert_legal(ring)
    assert hp.space == []


def test_two_rings_are_drawn_apart():
    hp = keras_tuner.HyperParameters()
    hp.values = {"a_one_minus_r_max": 0.01, "b_one_minus_r_max": 0.1}
    assert ring_hyperparameters(hp, prefix="a_")["r_max"] == 0.99
    assert ring_hyperparameters(hp, prefix="b_")["r_max"] == 0.9


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("r_max", (0.9, 1.0)),
        ("r_max", (0.9, 1.2)),
        ("r_max", (0.99, 0.9)),
        ("r_max", (0.9, 0.99, 0.999)),
        ("r_max", "0.9"),
        ("r_max", []),
        ("r_min_fraction", (-0.1, 1.0)),
        ("r_min_fraction", [0.5, math.nan]),
        ("max_phase", (0.0, 1.0)),
        ("max_phase", (1.0, math.inf)),
    ],
)
def test_refuses_a_range(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` must be .* Received: {name}="):
        ring_hyperparameters(keras_tuner.HyperParameters(), **{name: value})


@pytest.mark.parametrize(
    ("fixed", "message"),
    [
        ({"r": 1.0}, r"`fixed` must hold values of .* Received: fixed="),
        ({"r_max": 1.1}, r"`r_max` must be a number in \[0, 1\]. Received: r_max=1.1"),
        ({"r_min": 0.95}, r"`r_min` must not be larger than `r_max`. Received: r_min"),
        ({"r_min": 0.9, "r_max": 0.5}, r"`r_min` must not be larger than `r_max`."),
        ({"max_phase": -1.0}, r"`max_phase` must be a finite number >= 0"),
    ],
)
def test_refuses_fixed_values(fixed, message):
    with pytest.raises(ValueError, match=message):
        ring_hyperparameters(keras_tuner.HyperParameters(), fixed=fixed)
