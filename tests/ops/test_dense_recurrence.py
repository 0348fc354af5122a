"""The dense recurrence against the float64 loop, and its gradient by differences."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.ops import naive
from keras_lru.ops.dense_recurrence import dense_recurrence

from ..differentiate import gradients

BATCH, STATES = 2, 3
LENGTHS = np.array([3, 1])
ACTIVATIONS = {
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "linear": lambda x: x,
    # Each of its outputs depends on all of its inputs.
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}


def solve(b, A, x, lengths=None, activation="tanh"):
    return dense_recurrence(b, A, keras.activations.get(activation), x, lengths)


def reference(arguments, activation):
    """Entry states and last state."""
    b, A, x = (arguments[name] for name in ("b", "A", "x"))
    mask = None
    if "lengths" in arguments:
        mask = np.arange(b.shape[1]) < arguments["lengths"][:, None]
    states, last = b, x
    entries = [x]
    identity = np.eye(STATES)
    for t in range(b.shape[1]):
        _, last = naive.dense_rnn(
            b[:, t : t + 1],
            A,
            identity,
            identity,
            None,
            ACTIVATIONS[activation],
            last,
            None if mask is None else mask[:, t : t + 1],
        )
        entries.append(last)
    states = np.stack(entries, axis=1)
    return states[:, :-1], states[:, -1]


def check(evaluate, error, mode, time, activation="tanh", lengths=None):
    rng = np.random.default_rng(0)
    arguments = {
        "b": rng.normal(size=(BATCH, time, STATES)),
        "A": rng.normal(size=(STATES, STATES)),
        "x": rng.normal(size=(BATCH, STATES)),
    }
    cotangents = [
        rng.normal(size=(BATCH, time, STATES)),
        rng.normal(size=(BATCH, STATES)),
    ]
    single = {name: x.astype("float32") for name, x in arguments.items()}
    if lengths is not None:
        single["lengths"] = arguments["lengths"] = lengths.astype("int32")
    actual, gradients = evaluate(
        solve, single, cotangents, mode, ["b"], activation=activation
    )
    for x, y in zip(actual, reference(arguments, activation), strict=True):
        assert error(x, y) < 1e-5

    def loss():
        results = reference(arguments, activation)
        return sum(np.sum(c * x) for c, x in zip(cotangents, results, strict=True))

    assert gradients.keys() == {"b", "A", "x"}
    for name, gradient in gradients.items():
        array, expected = arguments[name], np.zeros_like(arguments[name])
        for index in np.ndindex(array.shape):
            kept = array[index]
            array[index] = kept + 1e-6
            above = loss()
            array[index] = kept - 1e-6
            expected[index] = (above - loss()) / 2e-6
            array[index] = kept
        assert error(gradient, expected) < 1e-5, name


@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["all steps", "lengths"])
def test_every_mode(evaluate, error, mode, lengths):
    check(evaluate, error, mode, 5, lengths=lengths)


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_activations(evaluate, error, fast_mode, activation):
    check(evaluate, error, fast_mode, 4, activation, LENGTHS)


def test_one_step(evaluate, error, fast_mode):
    check(evaluate, error, fast_mode, 1)


def test_after_its_end_a_sequence_does_not_grow(evaluate, fast_mode):
    """It would overflow, and infinity times a gradient of zero is no number."""
    arguments = {
        "b": np.zeros((1, 200, 1), "float32"),
        "A": np.full((1, 1), 10.0, "float32"),
        "x": np.ones((1, 1), "float32"),
        "lengths": np.array([2], "int32"),
    }
    cotangents = [np.zeros((1, 200, 1)), np.ones((1, 1))]
    (_, last), gradients = evaluate(
        solve, arguments, cotangents, fast_mode, activation="linear"
    )
    assert last == 100
    # x₂ = A² x₀
    assert gradients["A"] == 20
    assert gradients["x"] == 100


@pytest.mark.slow
def test_second_derivative():
    b, x = np.array([[[0.1], [0.2]]]), np.array([[0.3]])

    def loss(A):
        A = ops.reshape(A, (1, 1))
        return ops.sum(dense_recurrence(b, A, ops.tanh, x)[1])

    def direct(A):
        first = ops.tanh(0.3 * A + 0.1)
        return ops.tanh(first * A + 0.2)

    start = np.array(0.7)
    actual, expected = (
        ops.convert_to_numpy(gradients(lambda A, f=f: gradients(f, A)[0], start)[0])
        for f in (loss, direct)
    )
    np.testing.assert_allclose(actual, expected, rtol=1e-5)
