"""What the RG-LRU has of its own: gates, heads, decay, the bounded square root."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.layers import RGLRU, RGLRUCell
from keras_lru.ops.gated_system import bounded_sqrt

from .. import differentiate
from .kinds import KINDS, Solver
from .sequences import BATCH, assert_close, numpy_of, weights_of

KIND = KINDS["rg_lru"]
UNITS = KIND.units


def build(units=UNITS, **kwargs):
    layer = RGLRU(units, **{"seed": 1, **kwargs})
    layer.build((BATCH, None, units))
    return layer


@pytest.fixture(scope="module")
def gradients():
    """Gradients of a layer of one head, by name; compiled once for all such layers."""
    solver, x = Solver(build(return_state=True)), KIND.inputs()

    def gradients_of(layer):
        solver.layer.set_weights(layer.get_weights())
        return solver.gradients(solver.cotangents(x), x)[1]

    return gradients_of


def decay(layer):
    """a_t of an open gate."""
    return np.exp(-8 * np.logaddexp(0, weights_of(layer)["Lambda"]))


def test_by_hand():
    """Half-open gates, and a decay of a quarter through an open one."""
    layer = RGLRU(1, return_sequences=True)
    layer.build((1, None, 1))
    Lambda = np.log(np.expm1(np.log(4) / 8))
    gate = [np.zeros((1, 1, 1)), np.zeros(1)]
    layer.set_weights([np.array([Lambda]), *gate, *gate])
    y = layer(np.float32([[[2], [0], [4]]]))
    # a = √(1/4) = 1/2, and sqrt(1 - 1/4) · 1/2 · x comes in.
    gain = np.sqrt(0.75) / 2
    expected = [2 * gain, gain, 0.5 * gain + 4 * gain]
    np.testing.assert_allclose(numpy_of(y)[0, :, 0], expected, rtol=1e-5)


def test_initial_decay_is_uniform():
    a = np.sort(decay(build(4000, num_heads=1000, a_min=0.5, a_max=0.9)))
    assert a[0] >= 0.5 - 1e-6
    assert a[-1] <= 0.9 + 1e-6
    # Kolmogorov and Smirnov: 0.03 is passed by chance once in a thousand times.
    quantiles = (np.arange(4000) + 0.5) / 4000
    assert abs((a - 0.5) / 0.4 - quantiles).max() < 0.03
    a = decay(build())
    assert (a > 0.9 - 1e-6).all()
    assert (a < 0.999 + 1e-6).all()


@pytest.mark.parametrize("a", [(0, 0), (1, 1), (0, 1), (0.99, 0.99)])
def test_every_legal_range_is_finite(gradients, a):
    layer = build(a_min=a[0], a_max=a[1])
    assert np.isfinite(weights_of(layer)["Lambda"]).all()
    for name, gradient in gradients(layer).items():
        assert np.isfinite(gradient).all(), name
    if a[0] == a[1]:
        np.testing.assert_allclose(decay(layer), a[0], atol=1e-6)


def test_initial_gates():
    weights = weights_of(build(200, num_heads=2))
    for name in ("a", "x"):
        assert weights[f"W_{name}"].shape == (2, 100, 100)
        # Of 20 000 numbers: 1 % is one deviation of the sample variance.
        assert abs(weights[f"W_{name}"].var() * 100 - 1) < 0.04
        assert not weights[f"b_{name}"].any()
    assert not np.allclose(weights["W_a"], weights["W_x"])


def test_initializers_of_the_gates():
    layer = build(
        num_heads=2,
        gate_initializer=keras.initializers.Identity(),
        bias_initializer=keras.initializers.Constant(0.3),
    )
    weights = weights_of(layer)
    # The first rows of the identity, cut into blocks.
    np.testing.assert_array_equal(weights["W_a"], [np.eye(2), np.zeros((2, 2))])
    np.testing.assert_allclose(weights["b_x"], 0.3, rtol=1e-6)


@pytest.mark.parametrize("own_seed", [None, 3])
def test_the_gates_draw_apart_from_one_initializer(own_seed):
    uniform = keras.initializers.GlorotUniform(own_seed)
    weights, again = (
        weights_of(build(num_heads=2, gate_initializer=uniform, bias_initializer=bias))
        for bias in (keras.initializers.RandomNormal(seed=own_seed) for _ in range(2))
    )
    for name in ("W", "b"):
        assert not np.isclose(weights[f"{name}_a"], weights[f"{name}_x"]).any()
    for name, weight in weights.items():
        np.testing.assert_array_equal(again[name], weight)


def test_an_initializer_s_seed_is_enough_for_both_gates():
    uniform = keras.initializers.GlorotUniform(3)
    first, second = (
        weights_of(build(gate_initializer=uniform, seed=None)) for _ in range(2)
    )
    for name in ("W_a", "W_x"):
        np.testing.assert_array_equal(first[name], second[name])


def test_heads_are_blocks_of_a_dense_gate():
    blocks, dense = build(num_heads=2), build(num_heads=1, seed=2)
    weights = blocks.get_weights()
    for i in (1, 3):
        full = np.zeros((1, UNITS, UNITS))
        full[0, :2, :2], full[0, 2:, 2:] = weights[i]
        weights[i] = full
    dense.set_weights(weights)
    x = KIND.inputs()
    assert_close(blocks(x), dense(x))


@pytest.mark.parametrize("bias", [-200.0, -16.0, 200.0])
def test_gradient_through_a_closed_gate_is_finite(gradients, bias):
    """At a_t = 1 the square root's own slope is infinite."""
    layer = build(bias_initializer=keras.initializers.Constant(bias))
    for name, gradient in gradients(layer).items():
        assert np.isfinite(gradient).all(), name


def test_square_root_is_exact_and_its_slope_bounded():
    x = np.float32([0, 1e-12, 1e-7, 2.5e-7, 1e-4, 0.25, 1])
    np.testing.assert_allclose(numpy_of(bounded_sqrt(x)), np.sqrt(x), rtol=1e-6)
    expected = [1000, 1000, 1000, 1000, 50, 1, 0.5]
    (slope,) = differentiate.gradients(lambda x: ops.sum(bounded_sqrt(x)), x)
    np.testing.assert_allclose(numpy_of(slope), expected, rtol=1e-5)


def test_inputs_of_other_features():
    message = r"`inputs` must have `units` features.*units=4, inputs of 3 features"
    for layer in (RGLRU(4), keras.layers.RNN(RGLRUCell(4))):
        with pytest.raises(ValueError, match=message):
            layer(ops.zeros((2, 5, 3)))
