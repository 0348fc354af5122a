"""Dtype policies: outputs in the compute dtype, recurrence in float32 at least."""

import keras
import numpy as np
import pytest
from keras import ops

from ..cases import combinations
from .lru_reference import (
    BATCH,
    FEATURES,
    MASKS,
    STATES,
    TIME,
    UNITS,
    check,
    initial_state,
    inputs,
    make,
    numpy_of,
    reference,
)

HALF = ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"]
# Rounding of inputs, B, C, D and outputs, of sums of some 10 products of size 1.
HALF_ERROR = {"bfloat16": 10 * 2**-8, "float16": 10 * 2**-11}


def dtype_of(x):
    return keras.backend.standardize_dtype(x.dtype)


@pytest.fixture
def float64(backend):
    """JAX has float64 on request only."""
    if backend != "jax":
        yield
        return
    import jax

    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("policy", "return_sequences", "mask"),
    combinations(
        HALF,
        [True, False],
        [None, "holes"],
        fast=[
            ("mixed_bfloat16", True, "holes"),
            ("mixed_bfloat16", False, None),
            ("mixed_float16", True, None),
            ("mixed_float16", False, "holes"),
            ("bfloat16", True, None),
            ("float16", False, "holes"),
        ],
    ),
)
def test_half(policy, return_sequences, mask):
    layer = make(return_sequences=return_sequences, return_state=True, dtype=policy)
    assert {w.dtype for w in layer.weights} == {"float32"}
    mask = MASKS.get(mask)
    y, *last = layer(inputs(), initial_state=initial_state(), mask=mask)
    half = policy.removeprefix("mixed_")
    assert dtype_of(y) == half
    assert [dtype_of(part) for part in last] == ["float32", "float32"]
    expected, expected_last = reference(layer, inputs(), initial_state(), mask)
    atol = HALF_ERROR[half]
    np.testing.assert_allclose(numpy_of(y), expected, atol=atol)
    np.testing.assert_allclose(
        list(map(numpy_of, last)), expected_last, atol=HALF_ERROR[half]
    )


@pytest.mark.parametrize("policy", HALF)
def test_half_keeps_slow_eigenvalues(policy):
    """bfloat16 rounds |λ| = 0.999 to 1: over 1000 steps nothing would decay."""
    layer = make(
        r_min=0.999, r_max=0.999, dtype=policy, normalize=False, return_state=True
    )
    x = np.zeros((BATCH, 1000, FEATURES), "float32")
    start = initial_state()
    _, x_re, x_im = layer(x, initial_state=start)
    before = np.hypot(*start)
    after = np.hypot(numpy_of(x_re), numpy_of(x_im))
    np.testing.assert_allclose(after, 0.999**1000 * before, rtol=1e-3)


def test_float64(float64, backend):
    layer = make(return_sequences=True, return_state=True, dtype="float64")
    assert {w.dtype for w in layer.weights} == {"float64"}
    found = layer(inputs(), initial_state=initial_state(), mask=MASKS["holes"])
    assert [dtype_of(y) for y in found] == ["float64"] * 3
    # float64 keeps 15 digits; but Keras 3.15 takes sines in float32 on JAX.
    rtol = 1e-6 if backend == "jax" else 1e-10
    close = {"rtol": rtol, "atol": rtol / 100}
    check(layer, inputs(), initial_state(), MASKS["holes"], close=close)
    stateful = make(stateful=True, dtype="float64")
    assert {v.dtype for v in stateful.states} == {"float64"}


@pytest.mark.parametrize("policy", HALF)
def test_symbolic_outputs_have_the_dtypes_of_real_ones(policy):
    layer = make(return_state=True, dtype=policy)
    symbolic = layer(keras.Input((None, FEATURES)))
    assert [y.dtype for y in symbolic] == [dtype_of(y) for y in layer(inputs())]


@pytest.mark.parametrize(
    "policy",
    [
        "mixed_bfloat16",
        "float16",
        "float64",
        pytest.param("mixed_float16", marks=pytest.mark.slow),
        pytest.param("bfloat16", marks=pytest.mark.slow),
    ],
)
def test_training_step(policy, backend):
    if policy == "float64" and backend == "jax":
        pytest.skip("the trainer's own numbers are float32 without jax_enable_x64")
    layer = make(built=False, dtype=policy)
    model = keras.Sequential([keras.Input((None, FEATURES)), layer])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = layer.get_weights()
    loss = model.train_on_batch(inputs(), np.zeros((BATCH, UNITS), "float32"))
    assert np.isfinite(loss)
    for old, new, weight in zip(
        before, layer.get_weights(), layer.weights, strict=True
    ):
        assert np.isfinite(new).all(), weight.path
        assert not np.array_equal(old, new), weight.path


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "bfloat16"])
def test_kept_states_are_float32(policy):
    layer = make(stateful=True, return_state=True, dtype=policy)
    assert {v.dtype for v in layer.states} == {"float32"}
    zeros = np.zeros((BATCH, 1, FEATURES), "float32")
    _, *start = layer(inputs())
    _, *after = layer(zeros)
    start = numpy_of(start[0]) + 1j * numpy_of(start[1])
    after = numpy_of(after[0]) + 1j * numpy_of(after[1])
    np.testing.assert_allclose(after, start * layer.eigenvalues, rtol=1e-5)


class Outer(keras.layers.Layer):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)


def test_weights_and_states_are_not_cast_inside_a_half_layer():
    inner = make(return_state=True, stateful=True)
    outer = Outer(inner, dtype="mixed_bfloat16")
    x = np.ones((BATCH, TIME, FEATURES), "float32")
    outer(x)
    y, *last = outer(x)
    assert [dtype_of(part) for part in (y, *last)] == ["float32"] * 3
    expected, expected_last = reference(inner, np.ones((BATCH, 2 * TIME, FEATURES)))
    np.testing.assert_allclose(numpy_of(y), expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        list(map(numpy_of, last)), expected_last, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "dtype", ["mixed_bfloat16", keras.DTypePolicy("mixed_bfloat16")], ids=type
)
def test_policy_reaches_the_cell_and_the_config(dtype):
    layer = make(dtype=dtype)
    copy = type(layer).from_config(layer.get_config())
    for each in (layer, copy, layer.cell, copy.cell):
        assert each.dtype_policy.name == "mixed_bfloat16"


def test_global_policy():
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = make()
    assert layer.cell.compute_dtype == "bfloat16"
    assert dtype_of(layer(inputs())) == "bfloat16"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_initial_state_of_another_dtype(policy):
    layer = make(return_state=True, dtype=policy)
    states = [ops.cast(part, "bfloat16") for part in initial_state()]
    for part in layer(inputs(), initial_state=states)[1:]:
        assert dtype_of(part) == "float32"
        assert part.shape == (BATCH, STATES)
