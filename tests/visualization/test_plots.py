"""What is drawn, and where."""

import importlib
import io
import sys

import keras
import numpy as np
import pytest

from keras_lru import LRU
from keras_lru.visualization import (
    find_eigenvalues,
    plot_eigenvalues,
    plot_half_lives,
    plot_impulse_responses,
    plot_spectrum_history,
)
from keras_lru.visualization.spectrum import summarize


@pytest.fixture
def two_layers():
    return keras.Sequential(
        [
            keras.Input((None, 2)),
            LRU(2, state_size=5, return_sequences=True, name="first"),
            LRU(2, state_size=3, name="second"),
        ],
        name="model",
    )


def labels(ax):
    return [text.get_text() for text in ax.get_legend().get_texts()]


def test_eigenvalues_are_drawn_where_they_are(two_layers, ax):
    assert plot_eigenvalues(two_layers, ax) is ax
    found = find_eigenvalues(two_layers)
    assert labels(ax) == list(found) == ["model/first", "model/second"]
    for points, values in zip(ax.collections, found.values(), strict=True):
        offsets = np.asarray(points.get_offsets())
        np.testing.assert_allclose(offsets, np.stack([values.real, values.imag], 1))
    assert ax.get_aspect() == 1


def test_circles_have_the_radii_asked_for(ax):
    plot_eigenvalues([0.5, 0.6j], ax, ring=(0.4, 0.7), marker="x")
    radii = [np.hypot(*line.get_data()) for line in ax.lines]
    for radius, expected in zip(radii, (1.0, 0.4, 0.7), strict=True):
        np.testing.assert_allclose(radius, expected)
    assert ax.get_legend() is None


def test_arrays_have_the_names_given(ax):
    plot_eigenvalues({"before": [0.5], "after": np.array([[0.6, 0.1j]])}, ax)
    assert labels(ax) == ["before", "after"]
    assert [len(points.get_offsets()) for points in ax.collections] == [1, 2]


@pytest.mark.parametrize("source", [[], {}, {"a": []}, "model", None])
def test_what_has_no_eigenvalues_is_refused(source):
    for plot in (plot_eigenvalues, plot_half_lives):
        with pytest.raises(ValueError, match=r"`source` must be .* Received: source="):
            plot(source)


@pytest.mark.parametrize("ring", [0.5, (0.5,), (0.9, 0.1), (0.5, 1.2), ("a", 1)])
def test_bad_rings_are_refused(ring, ax):
    with pytest.raises(ValueError, match=r"`(ring|r_min|r_max)` must .* Received: r"):
        plot_eigenvalues([0.5], ax, ring=ring)
    assert not ax.lines


def test_half_lives_are_counted_by_hand(ax):
    # Half-lives 1, 2, 4 and 8, and bins from 1 to 8 whose edges are at 2 and 4.
    eigenvalues = 0.5 ** (1 / np.array([1, 2.01, 4.01, 8]))
    plot_half_lives(eigenvalues, ax, bins=3)
    assert [bar.get_height() for bar in ax.patches] == [1, 1, 2]
    edges = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in ax.patches]
    np.testing.assert_allclose(edges, [(1, 2), (2, 4), (4, 8)])
    assert ax.get_xscale() == "log"


def test_half_lives_of_layers_are_stacked(two_layers, ax):
    plot_half_lives(two_layers, ax, bins=4)
    assert sum(bar.get_height() for bar in ax.patches) == 5 + 3
    assert labels(ax) == ["model/first", "model/second"]


def test_half_lives_without_a_place_are_counted(ax):
    plot_half_lives({"a": [0, 0.5, 1.0, 2.0], "b": [0.5]}, ax, bins=1)
    assert sorted(labels(ax)) == ["a (3 left out)", "b"]
    assert sum(bar.get_height() for bar in ax.patches) == 2
    with pytest.raises(ValueError, match=r"with 0 < \|λ\| < 1. Received: none"):
        plot_half_lives([0, 1], ax)


def test_responses_of_states_are_powers(ax):
    layer = LRU(2, state_size=3, r_min=0.5)
    layer.build((None, None, 2))
    plot_impulse_responses(layer, 6, ax, of="states")
    for line, value in zip(ax.lines, layer.eigenvalues, strict=True):
        powers = [np.complex128(value) ** k for k in range(6)]
        np.testing.assert_allclose(line.get_ydata(), np.real(powers), atol=1e-12)
    assert labels(ax) == ["state 0", "state 1", "state 2"]


def test_responses_of_outputs_are_what_the_layer_returns(ax):
    layer = LRU(3, state_size=2, return_sequences=True)
    layer.build((None, None, 2))
    plot_impulse_responses(layer, 5, ax, indices=[2, 0], input_index=1, color="k")
    impulse = np.zeros((1, 5, 2), "float32")
    impulse[0, 0, 1] = 1
    outputs = keras.ops.convert_to_numpy(layer(impulse))[0]
    assert labels(ax) == ["output 2", "output 0"]
    for line, index in zip(ax.lines, (2, 0), strict=True):
        np.testing.assert_allclose(line.get_ydata(), outputs[:, index], atol=1e-7)
        assert line.get_color() == "k"


def test_any_layer_has_responses_of_outputs(ax):
    layer = keras.layers.SimpleRNN(2, return_sequences=True)
    layer.build((None, None, 1))
    plot_impulse_responses(layer, 4, ax)
    assert len(ax.lines) == 2
    with pytest.raises(ValueError, match=r"`layer` must have `eigenvalues`"):
        plot_impulse_responses(layer, 4, ax, of="states")


def test_responses_of_a_layer_first_called_with_a_state(ax):
    layer = keras.layers.SimpleRNN(2, return_sequences=True)
    state = np.zeros((1, 2), "float32")
    layer(np.ones((1, 2, 5), "float32"), initial_state=state)
    plot_impulse_responses(layer, 4, ax, input_index=4)
    assert len(ax.lines) == 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": 5}, "`layer` must be a Keras layer. Received: layer=5"),
        ({"length": 0}, "`length` must be a positive integer. Received: length=0"),
        ({"of": "inputs"}, "`of` must be one of .* Received: of='inputs'"),
        ({"indices": [3]}, r"`indices` must be in \[0, 3\). Received: indices=3"),
        ({"indices": [-1]}, r"`indices` must be in \[0, 3\). Received: indices=-1"),
        ({"input_index": 2}, r"`input_index` must be in \[0, 2\). Received: .*=2"),
    ],
)
def test_bad_arguments_of_responses_are_refused(options, message, ax):
    layer = LRU(3, return_sequences=True)
    layer.build((None, None, 2))
    with pytest.raises(ValueError, match=message):
        plot_impulse_responses(**{"layer": layer, "length": 4, **options}, ax=ax)
    assert not ax.lines


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"return_sequences": False}, "return_sequences=True"),
        ({"return_state": True}, "return_state=False"),
        ({"stateful": True}, "stateful=False"),
        ({"go_backwards": True}, "go_backwards=False"),
        ({}, "be built"),
    ],
)
def test_layers_without_a_response_are_refused(options, wanted):
    layer = LRU(3, **{"return_sequences": True, **options})
    with pytest.raises(ValueError, match=rf"`layer` must (have )?{wanted}.* Received"):
        plot_impulse_responses(layer, 4)


def record(step, layer, *eigenvalues):
    return {"step": step, "layer": layer, **summarize(np.array(eigenvalues))}


RECORDS = [
    record(0, "a", 0.5, 0.25, 0.25j),
    record(0, "b", -1.0),
    record(10, "a", 0.5, 0.75, 0.5j),
    record(10, "b", 0.5),
]


def test_history_has_a_line_a_layer(ax):
    assert plot_spectrum_history(RECORDS, ax) is ax
    assert labels(ax) == ["a", "b"]
    for line, medians in zip(ax.lines, ([0.25, 0.5], [1.0, 0.5]), strict=True):
        np.testing.assert_array_equal(line.get_xdata(), [0, 10])
        np.testing.assert_allclose(line.get_ydata(), medians)
    widest = ax.collections[0].get_paths()[0].get_extents()
    assert (widest.y0, widest.y1) == (0.25, 0.75)


def test_history_of_phases_and_half_lives(ax):
    plot_spectrum_history(RECORDS, ax, quantity="phase")
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [np.pi, 0])
    lives = plot_spectrum_history(RECORDS, quantity="half_life")
    assert lives is not ax
    assert lives.get_yscale() == "log"
    # A half-life without end has no place.
    np.testing.assert_allclose(lives.lines[1].get_ydata(), [np.nan, 1.0])
    lives.figure.savefig(io.BytesIO())


def test_history_refuses_what_it_cannot_draw(tmp_path):
    with pytest.raises(ValueError, match=r"`quantity` must be one of .*='size'"):
        plot_spectrum_history(RECORDS, quantity="size")
    with pytest.raises(ValueError, match="`source` must hold a record"):
        plot_spectrum_history([])
    other = tmp_path / "metrics.csv"
    other.write_text("epoch,loss\n0,1.0\n")
    with pytest.raises(ValueError, match=r"metrics.csv must be .* \['epoch', 'loss'\]"):
        plot_spectrum_history(other)


def test_without_matplotlib_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match=r'pip install "keras-lru\[plot\]"'):
        plot_eigenvalues([0.5])


def test_the_callback_needs_no_matplotlib(monkeypatch):
    for name in list(sys.modules):
        if name.startswith("keras_lru.visualization"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    visualization = importlib.import_module("keras_lru.visualization")
    assert visualization.SpectrumLogger().records == []
