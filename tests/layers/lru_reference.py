"""What the tests of the LRU layer share: sizes, and the float64 loop as the judge."""

import numpy as np
from keras import ops

from keras_lru.layers import LRU, S4D, S5
from keras_lru.ops import naive

from .. import differentiate

BATCH, TIME, FEATURES, UNITS, STATES = 3, 7, 2, 4, 3
# float32 keeps 7 digits; sums of some 50 products of size 1 lose up to 2 of them.
CLOSE = {"rtol": 1e-4, "atol": 2e-5}
WEIGHTS = ["nu_log", "theta_log", "gamma_log", "B_re", "B_im", "C_re", "C_im", "D"]

# Set by the fixture `algorithm`.
ALGORITHM = {"scan": "auto", "block_size": "auto"}

MASKS = {
    "right": np.arange(TIME) < np.array([[TIME], [4], [1]]),
    "left": np.arange(TIME) >= np.array([[0], [3], [6]]),
    "both": np.abs(np.arange(TIME) - 3) <= np.array([[3], [1], [0]]),
    "holes": np.array(
        [[1, 0, 1, 1, 0, 0, 1], [0, 1, 0, 1, 0, 1, 0], [1, 1, 1, 0, 1, 1, 1]], bool
    ),
    "whole rows": np.repeat([[False], [True], [False]], TIME, axis=1),
    "everything": np.zeros((BATCH, TIME), bool),
    "nothing": np.ones((BATCH, TIME), bool),
}


def make(built=True, **kwargs):
    """A small LRU; it has its weights already unless `built` is false."""
    kwargs = {"units": UNITS, "state_size": STATES, "seed": 1, **ALGORITHM, **kwargs}
    layer = LRU(**kwargs)
    if built:
        layer.build((BATCH, None, FEATURES))
    return layer


def inputs(time=TIME, batch=BATCH, features=FEATURES, seed=0):
    shape = (batch, time, features)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def initial_state(batch=BATCH, states=STATES, seed=1):
    rng = np.random.default_rng(seed)
    return [rng.normal(size=(batch, states)).astype("float32") for _ in range(2)]


def numpy_of(x):
    """Any tensor as float64."""
    return ops.convert_to_numpy(ops.convert_to_tensor(x)).astype("float64")


def weights_of(layer):
    """`{name: float64 array}`."""
    return {weight.name: numpy_of(weight) for weight in layer.weights}


def system(layer, weights):
    """Λ, B, C and D of the discrete system by the papers' formulas, complex128."""
    if isinstance(layer, S5):
        return s5_system(layer.cell, weights)
    if isinstance(layer, S4D):
        return s4d_system(weights)
    return lru_system(weights)


def zero_order_hold(eigenvalues, delta):
    """exp(ΛΔ), and what B is multiplied by."""
    discrete = np.exp(eigenvalues * delta)
    return discrete, (discrete - 1) / eigenvalues


def s5_system(cell, weights):
    real = weights["lambda_re"]
    if cell.clip_eigenvalues:
        real = np.minimum(real, -1e-4)
    eigenvalues, gain = zero_order_hold(
        real + 1j * weights["lambda_im"], np.exp(weights["log_delta"])
    )
    B = weights["B_re"] + 1j * weights["B_im"]
    C = weights["C_re"] + 1j * weights["C_im"]
    return eigenvalues, gain * B, (1 + cell.conjugate_symmetry) * C, weights.get("D")


def s4d_system(weights):
    """The systems of all features, as one: features in the rows of B."""
    eigenvalues, gain = zero_order_hold(
        -np.exp(weights["nu_log"]) + 1j * weights["lambda_im"],
        np.exp(weights["log_delta"])[:, None],
    )
    H, n = eigenvalues.shape
    C = 2 * (weights["C_re"] + 1j * weights["C_im"])
    of_feature = np.repeat(np.eye(H), n, axis=1)
    return (
        eigenvalues.ravel(),
        of_feature * gain.ravel(),
        (of_feature * C.ravel()).T,
        weights["D"],
    )


def lru_system(weights):
    """Λ, γB, C and D."""
    if "nu_log" in weights:
        nu, theta = np.exp(weights["nu_log"]), np.exp(weights["theta_log"])
    elif "nu" in weights:
        nu, theta = weights["nu"], weights["theta"]
    if "lambda_re" in weights:
        eigenvalues = weights["lambda_re"] + 1j * weights["lambda_im"]
    else:
        eigenvalues = np.exp(-nu + 1j * theta)
    B = weights["B_re"] + 1j * weights["B_im"]
    if "gamma_log" in weights:
        B = np.exp(weights["gamma_log"]) * B
    C = weights["C_re"] + 1j * weights["C_im"]
    return eigenvalues, B, C, weights.get("D")


def reference(layer, x, state=None, mask=None, weights=None):
    """Outputs and last state `(x_re, x_im)` that `layer` should return."""
    if layer.go_backwards:
        x = x[:, ::-1]
        mask = None if mask is None else mask[:, ::-1]
    state = None if state is None else state[0] + 1j * np.asarray(state[1])
    y, last = naive.diagonal_ssm(
        x, *system(layer, weights or weights_of(layer)), initial_state=state, mask=mask
    )
    if mask is not None and layer.zero_output_for_mask:
        y = y * mask[..., None]
    if not layer.return_sequences:
        y = y[:, -1] if y.shape[1] else np.zeros((len(y), y.shape[2]))
    return y, (last.real, last.imag)


def check(layer, x, state=None, mask=None, close=CLOSE):
    """Assert that a layer that returns its state agrees with the judge."""
    y, *last = layer(x, initial_state=state, mask=mask)
    expected, expected_last = reference(layer, x, state, mask)
    np.testing.assert_allclose(numpy_of(y), expected, **close)
    np.testing.assert_allclose(list(map(numpy_of, last)), expected_last, **close)


def cotangents(layer, of="both", seed=2):
    """Weights of a loss that is a sum over outputs, over the last state, or both."""
    rng = np.random.default_rng(seed)
    units, states = layer.units, layer.cell.num_states
    shape = (BATCH, TIME, units) if layer.return_sequences else (BATCH, units)
    y = rng.normal(size=shape) * (of != "state")
    return [y, *rng.normal(size=(2, BATCH, states)) * (of != "outputs")]


def gradients(layer, weights, x, state=None, mask=None):
    """Gradients of `sum(weights · layer(x, …))` in all weights, `x` and the state."""
    variables = layer.trainable_variables
    others = [x, *(state or ())]

    def loss(values, others):
        fixed = [v.value for v in layer.non_trainable_variables]
        x, *state = others
        results, _ = layer.stateless_call(
            values, fixed, x, initial_state=state or None, mask=mask
        )
        return sum(
            ops.sum(result * ops.cast(weight, result.dtype))
            for result, weight in zip(results, weights, strict=True)
        )

    of_weights, of_others = differentiate.gradients(
        loss, [v.value for v in variables], others
    )
    found = [numpy_of(g) for g in [*of_weights, *of_others]]
    names = [v.name for v in variables] + ["inputs", "x_re", "x_im"][: len(others)]
    return dict(zip(names, found, strict=True))


def reference_gradients(layer, weights, x, state=None, mask=None):
    """The same by central differences of the float64 loop."""
    arrays = {**weights_of(layer), "inputs": np.array(x, "float64")}
    if state is not None:
        arrays.update(zip(("x_re", "x_im"), np.array(state, "float64"), strict=True))

    def value():
        start = (arrays["x_re"], arrays["x_im"]) if "x_re" in arrays else None
        y, last = reference(layer, arrays["inputs"], start, mask, arrays)
        results = (y, *last)
        return sum(np.sum(r * w) for r, w in zip(results, weights, strict=True))

    # Truncation is of the order of its square, rounding of 1e-16 over it.
    delta = 1e-6
    result = {}
    for name, array in arrays.items():
        result[name] = np.zeros_like(array)
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + delta
            above = value()
            array[index] = kept - delta
            result[name][index] = (above - value()) / (2 * delta)
            array[index] = kept
    return result


def check_gradients(layer, weights, x, state=None, mask=None):
    """Assert that every gradient agrees with the judge's."""
    found = gradients(layer, weights, x, state, mask)
    expected = reference_gradients(layer, weights, x, state, mask)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        # As CLOSE, relative to the largest: small ones are differences of large ones.
        np.testing.assert_allclose(
            found[name], value, atol=1e-4 * max(1, abs(value).max()), err_msg=name
        )
