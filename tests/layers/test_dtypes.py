"""Dtype policies: outputs in the compute dtype, recurrence in float32 at least."""

import keras
import numpy as np
import pytest
from keras import ops

from .kinds import Solver, each_kind
from .sequences import (
    ALL,
    BATCH,
    HALF_CLOSE,
    MASKS,
    assert_close,
    dtype_of,
    numpy_of,
    numpy_of_all,
    sequential,
)

HALF = ["mixed_bfloat16", "mixed_float16", "bfloat16", "float16"]
lru_first = pytest.mark.parametrize("kind", each_kind(fast=["lru"]))


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
    ("kind", "policy", "return_sequences", "mask"),
    each_kind(
        HALF,
        [True, False],
        [None, "holes"],
        others=[
            ("mixed_bfloat16", True, "holes"),
            ("mixed_float16", False, "holes"),
            ("bfloat16", True, None),
            ("float16", False, None),
        ],
        fast=[
            ("lru", "mixed_bfloat16", True, "holes"),
            ("lru", "mixed_float16", False, "holes"),
            ("lru", "bfloat16", True, None),
            ("s4d", "mixed_bfloat16", True, "holes"),
            ("dense_rnn", "mixed_bfloat16", True, "holes"),
            ("rg_lru", "mixed_bfloat16", True, "holes"),
        ],
    ),
)
def test_half(kind, policy, return_sequences, mask):
    solver = kind.solver(return_sequences=return_sequences, dtype=policy)
    layer = solver.layer
    assert {w.dtype for w in layer.weights} == {"float32"}
    mask, half = MASKS.get(mask), policy.removeprefix("mixed_")
    y, *last = solver.tensors(kind.inputs(), kind.states(), mask)
    assert dtype_of(y) == half
    assert {dtype_of(part) for part in last} == {"float32"}
    expected, states = kind.reference(layer, kind.inputs(), kind.states(), mask)
    assert_close([y, *last], [expected, *states], HALF_CLOSE[half])


@pytest.mark.parametrize(
    ("kind", "policy"),
    each_kind(
        HALF,
        others=["mixed_bfloat16", "float16"],
        fast=[(name, "mixed_bfloat16") for name in ("lru", "rg_lru")],
    ),
)
def test_half_keeps_what_decays_slowly(kind, policy):
    """bfloat16 rounds 0.999 to 1: over 1000 steps nothing would decay."""
    solver = Solver(kind.make(**kind.slow, dtype=policy, return_state=True))
    x = np.zeros((BATCH, 1000, kind.features), "float32")
    _, *last = solver(x, kind.states())
    before, after = (np.linalg.norm(states, axis=0) for states in (kind.states(), last))
    np.testing.assert_allclose(after, kind.kept**1000 * before, rtol=1e-3)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_float64(float64, kind, backend):
    layer = kind.make(**ALL, dtype="float64")
    assert {w.dtype for w in layer.weights} == {"float64"}
    mask = MASKS["holes"]
    found = Solver(layer).tensors(kind.inputs(), kind.states(), mask)
    assert {dtype_of(y) for y in found} == {"float64"}
    # float64 keeps 15 digits of terms of size 1; but Keras 3.15 takes sines in float32
    # on JAX.
    rtol = 1e-6 if backend == "jax" else 1e-10
    y, last = kind.reference(layer, kind.inputs(), kind.states(), mask)
    assert_close(list(found), [y, *last], {"rtol": rtol, "atol": rtol})
    stateful = kind.make(stateful=True, dtype="float64")
    assert {v.dtype for v in stateful.states} == {"float64"}


@pytest.mark.parametrize("policy", HALF)
@pytest.mark.parametrize("kind", each_kind(fast=None))
def test_symbolic_outputs_have_the_dtypes_of_real_ones(kind, policy):
    layer = kind.make(return_state=True, dtype=policy)
    y, *states = layer(keras.Input((None, kind.features)))
    # As `test_half` finds them.
    assert y.dtype == policy.removeprefix("mixed_")
    assert {s.dtype for s in states} == {"float32"}


@pytest.mark.parametrize(
    ("kind", "policy"),
    each_kind(
        [*HALF, "float64"],
        others=["mixed_bfloat16", "float64"],
        fast=[("lru", "mixed_bfloat16"), ("lru", "float64")],
    ),
)
def test_training_step(kind, policy, backend):
    if policy == "float64" and backend == "jax":
        pytest.skip("the trainer's own numbers are float32 without jax_enable_x64")
    layer = kind.make(dtype=policy)
    model = sequential(layer, optimizer=keras.optimizers.SGD(0.1), loss="mse")
    before = layer.get_weights()
    target = np.zeros((BATCH, kind.units), "float32")
    assert np.isfinite(model.train_on_batch(kind.inputs(), target))
    for old, new in zip(before, layer.weights, strict=True):
        assert np.isfinite(numpy_of(new)).all(), new.path
        assert not np.array_equal(old, numpy_of(new)), new.path


@pytest.mark.parametrize(
    ("kind", "policy"),
    each_kind(
        ["mixed_bfloat16", "bfloat16"],
        others=["bfloat16"],
        fast=[("lru", "mixed_bfloat16")],
    ),
)
def test_kept_states_are_float32(kind, policy):
    layer = kind.make(stateful=True, return_state=True, dtype=policy)
    assert {v.dtype for v in layer.states} == {"float32"}
    zeros = np.zeros((BATCH, 1, kind.features), "float32")
    _, *start = layer(kind.inputs(1))
    _, *after = layer(zeros)
    assert_close(layer.states, after, {"rtol": 0, "atol": 0})
    _, last = kind.reference(layer, zeros, numpy_of_all(start))
    assert_close(after, last, {"rtol": 1e-5, "atol": 1e-6})


class Outer(keras.layers.Layer):
    def __init__(self, inner, **kwargs):
        super().__init__(**kwargs)
        self.inner = inner

    def call(self, x):
        return self.inner(x)


@lru_first
def test_weights_and_states_are_not_cast_inside_a_half_layer(kind):
    inner = kind.make(return_state=True, stateful=True)
    outer = Outer(inner, dtype="mixed_bfloat16")
    # Numbers that bfloat16 has.
    x = np.ones((BATCH, 4, kind.features), "float32")
    outer(x)
    found = outer(x)
    assert {dtype_of(part) for part in found} == {"float32"}
    y, last = kind.reference(inner, np.ones((BATCH, 8, kind.features)))
    assert_close(list(found), [y, *last])


@pytest.mark.parametrize("kind", each_kind(fast=None))
def test_policy_reaches_the_cell_and_the_config(kind):
    for dtype in ("mixed_bfloat16", keras.DTypePolicy("mixed_bfloat16")):
        layer = kind.make(built=False, dtype=dtype)
        copy = type(layer).from_config(layer.get_config())
        for each in (layer, copy, layer.cell, copy.cell):
            assert each.dtype_policy.name == "mixed_bfloat16"


@pytest.mark.parametrize("kind", each_kind(fast=None))
def test_global_policy(kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    layer = kind.make()
    assert layer.cell.compute_dtype == "bfloat16"
    y = layer(keras.Input((None, kind.features)))
    assert y.dtype == "bfloat16"


@pytest.mark.parametrize(
    ("kind", "policy"),
    each_kind(
        ["mixed_bfloat16", "float16"],
        others=["float16"],
        fast=[("lru", "mixed_bfloat16")],
    ),
)
def test_initial_state_of_another_dtype(kind, policy):
    layer = kind.make(return_state=True, dtype=policy)
    states = [ops.cast(part, "bfloat16") for part in kind.states()]
    for part in layer(kind.inputs(), initial_state=states)[1:]:
        assert dtype_of(part) == "float32"
        assert part.shape == (BATCH, kind.num_states)
