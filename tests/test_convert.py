"""Weights of minimal-LRU, against its formulation in NumPy."""

import keras
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru import LRU
from keras_lru.convert import from_minimal_lru

# In the order of `LRU.weights`.
NAMES = ["nu_log", "theta_log", "gamma_log", "B_re", "B_im", "C_re", "C_im", "D"]


def drawn_parameters(states=3, features=2, seed=0):
    rng = np.random.default_rng(seed)
    shapes = {
        "theta_log": (states,),
        "nu_log": (states,),
        "gamma_log": (states,),
        "B_re": (states, features),
        "B_im": (states, features),
        "C_re": (features, states),
        "C_im": (features, states),
        "D": (features,),
    }
    return {name: rng.normal(size=shape) for name, shape in shapes.items()}


def minimal_lru(params, inputs):
    """`h_k = λ h_{k-1} + γ B u_k`, `y_k = Re(C h_k) + D u_k`: of one sequence."""
    eigenvalues = np.exp(-np.exp(params["nu_log"]) + 1j * np.exp(params["theta_log"]))
    gamma = np.exp(params["gamma_log"])
    B = params["B_re"] + 1j * params["B_im"]
    C = params["C_re"] + 1j * params["C_im"]
    hidden = np.zeros(len(eigenvalues), "complex128")
    outputs = []
    for u in inputs:
        hidden = eigenvalues * hidden + gamma * (B @ u)
        outputs.append((C @ hidden).real + params["D"] * u)
    return np.array(outputs)


def converted_layer(params):
    states, features = params["B_re"].shape
    layer = LRU(features, state_size=states, return_sequences=True)
    layer.build((None, None, features))
    assert [weight.name for weight in layer.weights] == NAMES
    layer.set_weights(from_minimal_lru(params))
    return layer


@pytest.mark.parametrize(("states", "features"), [(5, 2), (2, 4)])
def test_converted_layer_computes_the_same(states, features):
    params = drawn_parameters(states, features)
    inputs = np.random.default_rng(1).normal(size=(2, 20, features))
    outputs = converted_layer(params)(inputs.astype("float32"))
    expected = [minimal_lru(params, sequence) for sequence in inputs]
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(outputs), expected, rtol=1e-4, atol=1e-4
    )


@settings(deadline=None, max_examples=20)
@given(states=st.integers(1, 6), features=st.integers(1, 6), seed=st.integers(0, 99))
def test_matrices_are_transposed_and_nothing_else_is_changed(states, features, seed):
    params = drawn_parameters(states, features, seed)
    weights = from_minimal_lru(params)
    for name, weight in zip(NAMES, weights, strict=True):
        np.testing.assert_array_equal(weight, params[name].T)


def test_half_precision_is_read():
    params = drawn_parameters()
    half = {name: value.astype(ml_dtypes.bfloat16) for name, value in params.items()}
    for weight, exact in zip(
        from_minimal_lru(half), from_minimal_lru(params), strict=True
    ):
        np.testing.assert_allclose(weight, exact, rtol=2**-8)


@pytest.mark.parametrize("name", NAMES)
def test_missing_parameter_is_named(name):
    params = drawn_parameters()
    del params[name]
    with pytest.raises(ValueError, match=rf"missing \['{name}'\], unknown \[\]"):
        from_minimal_lru(params)


def test_parameters_of_a_whole_model_are_refused():
    with pytest.raises(ValueError, match=r"missing \['nu_log', .* unknown \['params'"):
        from_minimal_lru({"params": drawn_parameters()})


@pytest.mark.parametrize("name", NAMES)
def test_wrong_shape_is_named(name):
    params = drawn_parameters()
    params[name] = np.ones((4, 5, 6))
    with pytest.raises(ValueError, match=rf"`params\['{name}'\]` .*shape \(4, 5, 6\)"):
        from_minimal_lru(params)


def test_matrices_the_other_way_round_are_refused():
    params = drawn_parameters()
    params["B_re"] = params["B_re"].T
    with pytest.raises(ValueError, match=r"\['B_re'\]` must have shape \(3, 2\)"):
        from_minimal_lru(params)


@pytest.mark.parametrize("value", [np.ones(2, "complex64"), "D", None])
def test_parameters_that_are_no_real_numbers_are_refused(value):
    with pytest.raises(TypeError, match=r"`params\['D'\]` must be an array of real"):
        from_minimal_lru({**drawn_parameters(), "D": value})


def test_what_is_no_mapping_is_refused():
    with pytest.raises(TypeError, match=r"must be a mapping .* Received: \[1\]"):
        from_minimal_lru([1])
