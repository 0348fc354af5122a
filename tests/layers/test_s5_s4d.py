"""What S5 and S4D have of their own: where they start, and the zero-order hold."""

import keras
import numpy as np
import pytest

from keras_lru.initializers.hippo import hippo_legs, hippo_normal
from keras_lru.layers import S4D, S5
from keras_lru.ops import naive

from .kinds import KINDS
from .loops import s5_system
from .sequences import ALL, BATCH, MASKS, numpy_of, weights_of

S5_KIND, S4D_KIND = KINDS["s5"], KINDS["s4d"]
FEATURES = S5_KIND.features

both = pytest.mark.parametrize(
    "kind", [S4D_KIND, pytest.param(S5_KIND, marks=pytest.mark.slow)], ids=str
)


def built(layer, features=FEATURES):
    layer.build((BATCH, None, features))
    return layer


def initial(value):
    return lambda shape, dtype=None: keras.ops.convert_to_tensor(value, dtype)


# Both


@pytest.mark.slow
@both
def test_long_memory(kind):
    """The published initial values, over as many steps as the longest memory."""
    layer = kind.make(**ALL, state_size=32, dt_min=0.001, dt_max=0.1)
    # States of size 30, sums of 1000 terms: three digits of float32 are gone.
    kind.check(layer, kind.inputs(1000), close={"rtol": 1e-3, "atol": 1e-3})


@both
def test_extreme_weights_are_finite(kind):
    """Those at which the layer is still stable; gradients too."""
    solver, x = kind.solver(return_sequences=True), kind.inputs()
    cell, found = solver.layer.cell, {}
    for weight in (cell.lambda_im, cell.log_delta):
        kept = numpy_of(weight)
        for value in (1e4, -1e4, 0.0):
            weight.assign(np.full(weight.shape, value))
            values, gradients = solver.gradients(
                solver.cotangents(x), x, kind.states(), MASKS["nothing"]
            )
            found[weight.name, value] = [*values, *gradients.values()]
        weight.assign(kept)
    for case, numbers in found.items():
        assert all(np.isfinite(y).all() for y in numbers), case


# S5


@pytest.mark.parametrize("conjugate_symmetry", [True, False])
@pytest.mark.parametrize("blocks", [1, 2])
def test_s5_starts_as_the_dense_hippo_system(blocks, conjugate_symmetry):
    """Impulses through HiPPO-N itself: real, dense, and not in its eigenbasis."""
    P, H, units, delta, steps = 8, 3, 2, 0.1, 10
    rng = np.random.default_rng(0)
    B, C = rng.normal(size=(H, P)), rng.normal(size=(P, units))
    layer = S5(
        units,
        P,
        blocks=blocks,
        conjugate_symmetry=conjugate_symmetry,
        dt_min=delta,
        dt_max=delta,
        feedthrough="none",
        input_initializer=initial(B),
        output_initializer=initial(np.hstack([C, 0 * C])),
    )
    weights = weights_of(built(layer, H))
    impulses = np.zeros((H, steps, H))
    impulses[:, 0] = np.eye(H)
    logs, *matrices = s5_system(layer.cell, weights)
    responses, _ = naive.diagonal_ssm(impulses, np.exp(logs), *matrices)

    size = P // blocks
    root = np.sqrt(np.arange(size) + 0.5)
    A = np.kron(np.eye(blocks), hippo_legs(size) + np.outer(root, root))
    eigenvalues, V = np.linalg.eig(A)
    transition = ((V * np.exp(eigenvalues * delta)) @ np.linalg.inv(V)).real
    x = np.linalg.solve(A, (transition - np.eye(P)) @ B.T)
    for t in range(steps):
        np.testing.assert_allclose(responses[:, t], (C.T @ x).T, atol=1e-5)
        x = transition @ x


@pytest.mark.slow
def test_s5_initial_weights():
    H, P, units = 100, 128, 200
    layer = built(S5(units, P, blocks=4, seed=1), H)
    weights = weights_of(layer)
    eigenvalues, _ = hippo_normal(P // 4)
    np.testing.assert_allclose(weights["lambda_re"], -0.5)
    np.testing.assert_allclose(
        weights["lambda_im"], np.tile(eigenvalues.imag[P // 8 :], 4), rtol=1e-5
    )
    low, high = np.log([0.001, 0.1])
    assert ((weights["log_delta"] >= low) & (weights["log_delta"] <= high)).all()
    # The rotations keep variances: half of a real B's in each part, all of C's.
    variances = {"B_re": 0.5 / H, "B_im": 0.5 / H, "C_re": 1 / P, "C_im": 1 / P}
    for name, variance in variances.items():
        # Of 6400 draws at least, in dependent pairs: within 10 %.
        np.testing.assert_allclose(weights[name].var(), variance, rtol=0.1)
    assert weights["D"].shape == (H, units)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kwargs",
    [
        {"conjugate_symmetry": False, "feedthrough": "none"},
        {"units": FEATURES, "feedthrough": "vector"},
        {"feedthrough": "matrix", "blocks": 2, "clip_eigenvalues": True},
    ],
    ids=str,
)
def test_s5_options(kwargs):
    layer = built(S5(**{"units": 4, "state_size": 4, "dt_min": 0.05, **kwargs, **ALL}))
    states = S5_KIND.states(size=layer.cell.num_states)
    S5_KIND.check(layer, S5_KIND.inputs(), states)


def test_clipped_eigenvalues_are_stable():
    for clip in (True, False):
        layer = built(S5(4, clip_eigenvalues=clip))
        layer.cell.lambda_re.assign([1.0, -0.5])
        grows = abs(layer.eigenvalues) > 1
        np.testing.assert_array_equal(grows, [not clip, False])
    layer = built(S5(4, clip_eigenvalues=True, dt_min=0.1, dt_max=0.1))
    layer.cell.lambda_re.assign([1.0, -0.5])
    expected = np.exp([-1e-5, -0.05])
    np.testing.assert_allclose(abs(layer.eigenvalues), expected, rtol=1e-6)


# S4D


@pytest.mark.slow
@pytest.mark.parametrize("initialization", ["lin", "inv", "legs"])
def test_s4d_initializations(initialization):
    layer = built(S4D(FEATURES, 6, initialization, dt_min=0.05, **ALL))
    S4D_KIND.check(layer, S4D_KIND.inputs(), S4D_KIND.states())


@pytest.mark.slow
def test_s4d_initial_weights():
    H, N = 200, 64
    layer = built(S4D(H, N, dt_min=0.01, dt_max=0.01, seed=1), H)
    weights = weights_of(layer)
    expected = np.exp(0.01 * (-0.5 + 1j * np.pi * np.arange(N // 2)))
    np.testing.assert_allclose(layer.eigenvalues, np.tile(expected, H), rtol=1e-5)
    for name in ("C_re", "C_im"):
        # Of 6400 draws: within 4 standard deviations.
        np.testing.assert_allclose(weights[name].var(), 0.5, rtol=0.07)
    assert weights["log_delta"].shape == weights["D"].shape == (H,)


@pytest.mark.slow
def test_s4d_features_do_not_mix():
    layer = built(S4D(FEATURES, 4, return_sequences=True))
    x = S4D_KIND.inputs()
    other = x.copy()
    other[..., 0] += 1
    difference = numpy_of(layer(other)) - numpy_of(layer(x))
    assert abs(difference[..., 0]).min() > 1e-3
    np.testing.assert_array_equal(difference[..., 1], 0)


def test_s4d_needs_as_many_features_as_units():
    with pytest.raises(ValueError, match=r"`units` .*units=3, inputs of 2 features"):
        S4D_KIND.make(built=False, units=3)(S4D_KIND.inputs())
