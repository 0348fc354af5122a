"""Balanced truncation against transfer functions and simulated Gramians."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru.compress.balancing import BalancedSystem, Diagonal


def random_system(rng, states, inputs=2, outputs=3, slowest=0.999):
    modulus = slowest * np.sqrt(rng.random(states))
    logs = np.log(modulus) + 1j * rng.uniform(0, np.pi, states)
    B, C = (
        rng.normal(size=shape) + 1j * rng.normal(size=shape)
        for shape in ((inputs, states), (states, outputs))
    )
    gamma = np.sqrt(1 - modulus**2)
    return Diagonal(logs, gamma * B, C)


def responses(system, angles):
    """C (z − Λ)⁻¹ B on the unit circle, `(angles, output_dim, input_dim)`."""
    z = np.exp(1j * angles)[:, None]
    weights = 1 / (z - np.exp(system.log_eigenvalues))
    return np.einsum("no,fn,in->foi", system.C, weights, system.B)


def largest_gain(system, other):
    """Of the difference, at angles that no sharp resonance escapes."""
    angles = np.concatenate(
        [
            np.linspace(-np.pi, np.pi, 500),
            *(s.log_eigenvalues.imag for s in (system, other)),
        ]
    )
    difference = responses(system, angles) - responses(other, angles)
    return np.linalg.norm(difference, 2, axis=(1, 2)).max()


@settings(deadline=None, max_examples=300)
@given(
    st.integers(1, 12), st.floats(0.0, 1.0), st.floats(0.3, 0.9999), st.integers(0, 99)
)
def test_no_input_shows_a_larger_difference_than_the_bound(
    states, share, slowest, seed
):
    system = random_system(np.random.default_rng(seed), states, slowest=slowest)
    balanced = BalancedSystem(system)
    size = max(1, round(share * states))
    difference = largest_gain(system, balanced.truncate(size))
    # Gramians are computed to 1e-16 of their size, their roots to 1e-8.
    rounding = 1e-6 * balanced.singular_values[0]
    assert difference <= balanced.bound(size) + rounding
    if size < states:
        # The other way round: no system of that size comes closer than this.
        assert difference >= balanced.singular_values[size] - rounding


def test_singular_values_are_those_of_the_simulated_gramians():
    system = random_system(np.random.default_rng(0), 6, slowest=0.9)
    reach = seen = 0
    B, C = system.B.T, system.C.T
    for k in range(600):
        power = np.exp(k * system.log_eigenvalues)
        reach = reach + (power[:, None] * B) @ (power[:, None] * B).conj().T
        seen = seen + (C * power).conj().T @ (C * power)
    expected = np.sqrt(np.sort(np.linalg.eigvals(reach @ seen).real)[::-1])
    found = BalancedSystem(system).singular_values
    np.testing.assert_allclose(found, expected, rtol=1e-8)


def test_states_that_are_there_twice_are_once_enough():
    system = random_system(np.random.default_rng(1), 4)
    twice = Diagonal(
        np.tile(system.log_eigenvalues, 2),
        np.tile(system.B, 2),
        np.concatenate([system.C, system.C]) / 2,
    )
    balanced = BalancedSystem(twice)
    assert balanced.size_within(1e-6) == 4
    small = balanced.truncate(4)
    assert largest_gain(system, small) < 1e-6 * balanced.singular_values[0]
    # Those asked for beyond that do nothing.
    larger = balanced.truncate(6)
    assert len(larger.log_eigenvalues) == 6
    assert largest_gain(small, larger) < 1e-6 * balanced.singular_values[0]


def test_memories_of_a_hundred_million_steps_keep_their_length():
    logs = np.array([-1e-8 + 0.5j, -0.1 + 1j])
    system = Diagonal(logs, np.sqrt([[2e-8, 0.1]]) + 0j, np.array([[1.0], [1e-4]]))
    small = BalancedSystem(system).truncate(1)
    np.testing.assert_allclose(small.log_eigenvalues.real, [-1e-8], rtol=1e-4)
    np.testing.assert_allclose(small.log_eigenvalues.imag, [0.5], rtol=1e-8)


@pytest.mark.parametrize("modulus", [1.0, 1.01])
def test_what_never_forgets_is_refused(modulus):
    system = random_system(np.random.default_rng(0), 3)
    logs = system.log_eigenvalues.copy()
    logs[1] = np.log(modulus)
    with pytest.raises(ValueError, match=r"inside the unit circle.*\|λ\| = 1"):
        BalancedSystem(system._replace(log_eigenvalues=logs))
