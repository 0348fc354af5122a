"""What is found in a model, and what its eigenvalues are measured by."""

import keras
import numpy as np
import pytest

from keras_lru import LRU, LRUCell, ResidualBlock, SequenceClassifier
from keras_lru.initializers import ring_from_memory
from keras_lru.visualization import find_eigenvalues, half_lives, memory_summary
from keras_lru.visualization.spectrum import STATISTICS, summarize


def lru(units=3, **kwargs):
    return LRU(units, return_sequences=True, **kwargs)


def test_a_layer_is_found_with_its_own_eigenvalues():
    layer = lru(4, state_size=5, name="mine")
    layer.build((None, None, 2))
    found = find_eigenvalues(layer)
    assert list(found) == ["mine"]
    np.testing.assert_array_equal(found["mine"], layer.eigenvalues)


def test_nested_layers_are_found_in_order():
    layers = keras.layers
    inner = keras.Sequential([keras.Input((6, 3)), lru(name="inner")], name="nest")
    model = keras.Sequential(
        [
            keras.Input((6, 3)),
            inner,
            layers.Bidirectional(lru(name="lru"), name="both", merge_mode="sum"),
            ResidualBlock(lru(name="lru"), name="block"),
            layers.RNN(LRUCell(3, name="cell"), return_sequences=True, name="rnn"),
            layers.TimeDistributed(layers.Dense(3)),
            layers.RNN([LRUCell(3, name="one"), LRUCell(2, name="two")], name="deep"),
        ],
        name="model",
    )
    assert [name.removeprefix("model/") for name in find_eigenvalues(model)] == [
        "nest/inner",
        "both/forward_lru",
        "both/backward_lru",
        "block/lru",
        "rnn/cell",
        "deep/stacked_rnn_cells/one",
        "deep/stacked_rnn_cells/two",
    ]


def test_a_whole_classifier_is_searched():
    model = SequenceClassifier(2, depth=2, units=3, state_size=4, bidirectional=True)
    model.build((None, 6, 1))
    found = find_eigenvalues(model)
    assert [name.split("/")[-3:] for name in found] == [
        [f"block_{block}", "bidirectional", f"{direction}_lru"]
        for block in range(2)
        for direction in ("forward", "backward")
    ]
    assert {values.shape for values in found.values()} == {(4,)}


class Twins(keras.layers.Layer):
    def __init__(self):
        super().__init__(name="twins")
        first, second = lru(name="lru"), lru(name="lru")
        # The third is the first again.
        self.layers = [first, second, first]

    def call(self, inputs):
        for layer in self.layers:
            inputs = layer(inputs)
        return inputs


def test_layers_of_one_name_are_told_apart_and_shared_ones_found_once():
    twins = Twins()
    twins(np.zeros((1, 2, 3)))
    assert list(find_eigenvalues(twins)) == ["twins/lru", "twins/lru_2"]


class Anyone(keras.layers.Layer):
    """A recurrence that is not ours, its eigenvalues a table."""

    @property
    def eigenvalues(self):
        return np.array([[0.5, 0.25j], [0.1, 1.5]])


def test_any_layer_with_eigenvalues_counts():
    found = find_eigenvalues(keras.Sequential([Anyone(name="anyone")]))
    np.testing.assert_array_equal(found["anyone"], [0.5, 0.25j, 0.1, 1.5])


def test_a_model_without_eigenvalues_is_refused():
    model = keras.Sequential([keras.layers.Dense(1)], name="dense")
    with pytest.raises(ValueError, match=r"`model` must .* Received: model='dense'"):
        find_eigenvalues(model)


def test_a_layer_without_weights_yet_is_refused():
    with pytest.raises(ValueError, match=r"weights of .* do not exist yet"):
        find_eigenvalues(LRU(2))


def test_half_life_is_the_steps_until_half_is_left():
    eigenvalues = np.array([0.9, -0.5j, 0.3 + 0.4j, 0.999])
    for steps, value in zip(half_lives(eigenvalues), eigenvalues, strict=True):
        assert abs(value) ** steps == pytest.approx(0.5)
    assert half_lives([0.5, 0.25, 2**-0.125]) == pytest.approx([1, 0.5, 8])
    assert half_lives([0, 1, -1j, 1.2]).tolist() == [0, np.inf, np.inf, np.inf]


def test_summary_by_hand():
    # Moduli 0, 1/2, 1 and 2, phases 0, π/2, π and π/2 again.
    summary = summarize(np.array([-1.0, 0.5j, 0.0, -2.0j]))
    assert len(summary) == 3 * len(STATISTICS)
    expected = {
        "modulus_min": 0.0,
        "modulus_q25": 0.0,
        "modulus_median": 0.5,
        "modulus_q75": 1.0,
        "modulus_max": 2.0,
        "half_life_min": 0.0,
        "half_life_median": 1.0,
        "half_life_q75": np.inf,
        "half_life_max": np.inf,
        "phase_min": 0.0,
        "phase_median": np.pi / 2,
        "phase_max": np.pi,
    }
    for name, value in expected.items():
        assert summary[name] == pytest.approx(value), name


def test_quantiles_are_those_of_many():
    phase = np.random.default_rng(0).permutation(1001) / 1001
    summary = summarize(0.5 * np.exp(1j * phase))
    for name, fraction in STATISTICS.items():
        assert summary[f"phase_{name}"] == pytest.approx(fraction, abs=1.5e-3)
        assert summary[f"modulus_{name}"] == pytest.approx(0.5)


# In words


def test_a_memory_in_words():
    half = 0.5 ** (1 / np.array([3.0, 690.0]))
    turning = half * np.exp(2j * np.pi / np.array([40, 2]))
    assert memory_summary(turning) == "remembers 3 to 690 steps, turns in 2 to 40 steps"
    assert memory_summary({"a": [1.0, 0.5], "b": [-0.5]}) == (
        "a: remembers 1 step to for ever, never turns\n"
        "b: remembers 1 step, turns in 2 steps"
    )
    # As a start with max_phase=0 has it, and a recurrence that diverged.
    assert memory_summary([0.5 * np.exp(1e-36j)]) == "remembers 1 step, never turns"
    assert memory_summary([np.nan, 0.5]).startswith("remembers nan steps")


def test_a_memory_in_words_is_that_of_the_ring_in_steps():
    ring = ring_from_memory((30, 60), shortest_period=8)
    layer = lru(state_size=4000, **ring, seed=0)
    layer.build((None, None, 1))
    text = memory_summary(layer)
    assert "remembers 30 to 60 steps, turns in 8 to " in text
