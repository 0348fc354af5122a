"""Recurrences with matrices of eight bits."""

import functools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras import ops
from keras.quantizers import AbsMaxQuantizer, Int8QuantizationConfig

from keras_lru import layers
from keras_lru.compress import reduce_states

from .kinds import KINDS, Solver, each_kind
from .loops import lru_system, s5_system
from .sequences import (
    ALL,
    BATCH,
    HALF_CLOSE,
    MASKS,
    TIME,
    assert_close,
    assert_same,
    dtype_of,
    normal,
    numpy_of,
    weights_of,
)

INT8 = "int8_from_float32"
NAMES = ("lru", "s5")
MATRICES = ("B_re", "B_im", "C_re", "C_im", "D")
each = pytest.mark.parametrize("kind", each_kind(fast=None, names=NAMES))
lru_first = pytest.mark.parametrize("kind", each_kind(fast=["lru"], names=NAMES))


def quantized(kind, **options):
    layer = kind.make(**options)
    layer.quantize("int8")
    return layer


@functools.cache
def shared(kind, **options):
    return quantized(kind, **options)


def dequantized(layer):
    """`{name: float64 array}` of the numbers that the weights stand for."""
    weights = weights_of(layer)
    scales = {n: weights.pop(n) for n in list(weights) if n.endswith("_scale")}
    return {n: w / scales.get(f"{n}_scale", 1.0) for n, w in weights.items()}


def in_full(kind, layer, **options):
    """A layer with the same numbers, none of them quantized."""
    plain = kind.make(features=layer.input_spec.axes[-1], **options)
    numbers = dequantized(layer)
    plain.set_weights([numbers[w.name] for w in plain.weights])
    return plain


# What becomes of the weights


@each
def test_matrices_become_integers_with_scales(kind):
    layer = kind.make()
    before, recurrent = weights_of(layer), {"B_re", "B_im"}
    layer.quantize("int8")
    dtypes = {w.name: dtype_of(w) for w in layer.weights}
    assert {n for n, dtype in dtypes.items() if dtype == "int8"} == set(MATRICES)
    assert set(dtypes.values()) == {"int8", "float32"}
    fixed = {*MATRICES, *(f"{name}_scale" for name in MATRICES)}
    assert {w.name for w in layer.non_trainable_weights} == fixed
    for weight in layer.non_trainable_weights:
        assert weight.is_recurrent == (weight.name.removesuffix("_scale") in recurrent)
    after, integers = dequantized(layer), weights_of(layer)
    for name, value in before.items():
        if name not in MATRICES:
            np.testing.assert_array_equal(after[name], value)
            continue
        # Half a step of the integers; Keras adds 1e-7 to the largest.
        step = (np.abs(value).max(0) + 1e-7) / 127
        assert (np.abs(after[name] - value) <= step * 0.501).all()
        np.testing.assert_array_equal(np.abs(integers[name]).max(0), 127)


@each
def test_a_vector_of_feedthrough_stays(kind):
    layer = kind.make(features=kind.units)
    layer.quantize("int8")
    assert dtype_of(layer.cell.D) == "float32"
    assert layer.cell.D.trainable
    assert "D" in {w.name for w in layer.trainable_variables}
    none = kind.make(feedthrough="none")
    none.quantize("int8")
    x = normal(BATCH, TIME, kind.features)
    expected, _ = kind.reference(none, x, weights=dequantized(none))
    assert_close(none(x), expected)


@each
def test_one_of_them_may_have_other_scales(kind):
    layer = kind.make()
    quantizer = AbsMaxQuantizer(axis=0, value_range=(-7, 7))
    layer.quantize(config=Int8QuantizationConfig(quantizer))
    assert np.abs(numpy_of(layer.cell.B_re)).max() == 7


# What is computed


@functools.cache
def solver(kind):
    return Solver(quantized(kind, go_backwards=True, **ALL))


@settings(deadline=None, max_examples=20)
@given(mask=arrays(bool, (BATCH, TIME)), seed=st.integers(0, 99))
@each
def test_outputs_are_those_of_the_dequantized_weights(kind, mask, seed):
    layer = solver(kind).layer
    x, states = kind.inputs(seed=seed), kind.states(seed=seed + 1)
    y, last = kind.reference(layer, x, states, mask, dequantized(layer))
    assert_close(solver(kind)(x, states, mask), [y, *last])


@pytest.mark.parametrize(
    ("kind", "scan", "block_size"),
    each_kind(
        ["sequential", "chunked", "associative"],
        [1, 3],
        fast=[("lru", "chunked", 3), ("s5", "sequential", 1)],
        names=NAMES,
    ),
)
def test_however_they_are_solved(kind, scan, block_size):
    layer = quantized(kind, scan=scan, block_size=block_size, **ALL)
    y, last = kind.reference(layer, kind.inputs(), weights=dequantized(layer))
    assert_close(list(layer(kind.inputs())), [y, *last])


def change_at_most(kind, before, layer, x):
    """How far outputs can be from those of the weights `before`, by their rounding.

    With |Λ| in place of Λ, and the sizes of all numbers in place of these, nothing
    cancels: x of |B| |u|, its change e of |ΔB| |u|, and of an output
    e |C| + (x + e) |ΔC| + |ΔD| |u|.
    """
    system = {"lru": lru_system, "s5": s5_system}[kind.name]
    logs, B, C, _ = system(layer.cell, before)
    scales = weights_of(layer)
    steps = {
        n: np.broadcast_to(0.501 / scales[f"{n}_scale"], before[n].shape)
        for n in MATRICES
    }
    _, dB, dC, dD = system(layer.cell, {**before, **steps})
    decay, u = np.exp(logs.real), np.abs(x.astype("float64"))
    states = change = np.zeros((len(x), len(logs)))
    bounds = []
    for t in range(x.shape[1]):
        states = decay * states + u[:, t] @ np.abs(B)
        change = decay * change + u[:, t] @ np.abs(dB)
        from_C = (states + change) @ np.abs(dC)
        bounds.append(change @ np.abs(C) + from_C + u[:, t] @ dD)
    return np.stack(bounds, axis=1)


@pytest.mark.parametrize("seed", [0, 1])
@lru_first
def test_the_error_is_that_of_rounding_the_weights(kind, seed):
    plain = kind.make(return_sequences=True, seed=seed)
    before, x = weights_of(plain), kind.inputs(time=30, seed=seed)
    expected, _ = kind.reference(plain, x)
    plain.quantize("int8")
    error = np.abs(numpy_of(plain(x)) - expected)
    # Of rounding in float32 there is as much as `CLOSE` has.
    assert (error <= change_at_most(kind, before, plain, x) + 1e-4).all()
    assert error.max() > 1e-4


CALLS = {
    "step sizes": {
        "step_sizes": np.random.default_rng(0).uniform(0.2, 3, (BATCH, TIME))
    },
    "rate": {"rate": 0.5},
    "reset": {"reset": MASKS["holes"]},
    "reset and masks": {"reset": MASKS["holes"], "mask": MASKS["left"]},
    "masks": {"mask": MASKS["whole rows"]},
}


@pytest.mark.parametrize(
    ("kind", "call"),
    each_kind(
        CALLS, fast=[("lru", "reset and masks"), ("lru", "step sizes")], names=NAMES
    ),
)
def test_all_calls(kind, call):
    layer = shared(kind, go_backwards=False, **ALL)
    plain = in_full(kind, layer, **ALL)
    x, arguments = kind.inputs(), CALLS[call]
    assert_close(list(layer(x, **arguments)), list(plain(x, **arguments)))


@lru_first
def test_kept_states(kind):
    layer = quantized(kind, stateful=True, return_sequences=True)
    x = kind.inputs()
    expected, _ = kind.reference(layer, x, weights=dequantized(layer))
    pieces = [numpy_of(layer(piece)) for piece in (x[:, :3], x[:, 3:])]
    assert_close(np.concatenate(pieces, 1), expected)


@lru_first
def test_cells_by_hand(kind):
    layer = quantized(kind, return_sequences=True)
    rnn = keras.layers.RNN(layer.cell, return_sequences=True)
    x, expected = kind.inputs(), layer(kind.inputs())
    assert_close(rnn(x), expected)
    state = layer.cell.get_initial_state(BATCH)
    for t in range(TIME):
        output, state = layer.cell(x[:, t], state)
        assert_close(output, expected[:, t])


@lru_first
def test_gradients_of_what_is_left(kind):
    layer = quantized(kind)
    model = keras.Sequential([layer, keras.layers.Dense(1)])
    model.compile(keras.optimizers.SGD(0.01), "mse")
    before = {w.name: numpy_of(w) for w in layer.weights}
    model.fit(kind.inputs(), np.ones((BATCH, 1)), verbose=0)
    after = {w.name: numpy_of(w) for w in layer.weights}
    trained = {w.name for w in layer.trainable_weights}
    changed = {n for n in before if (before[n] != after[n]).any()}
    assert changed == trained
    assert "D" not in trained


@lru_first
def test_half_precision(kind):
    layer = kind.make(dtype="mixed_bfloat16", return_sequences=True)
    layer.quantize("int8")
    assert layer.dtype_policy.name == "int8_from_mixed_bfloat16"
    y, x = layer(kind.inputs()), kind.inputs()
    assert dtype_of(y) == "bfloat16"
    assert {dtype_of(w) for w in layer.weights} == {"int8", "float32"}
    expected, _ = kind.reference(layer, x, weights=dequantized(layer))
    np.testing.assert_allclose(
        numpy_of(ops.cast(y, "float32")), expected, **HALF_CLOSE["bfloat16"]
    )


@each
def test_what_the_layer_says_of_itself(kind):
    layer = kind.make()
    expected = layer.eigenvalues
    for part in (layer, layer.cell):
        assert part.dtype_policy.name == "float32"
        assert part.quantization_mode is None
    layer.quantize("int8")
    for part in (layer, layer.cell):
        assert part.dtype_policy.name == INT8
        assert part.quantization_mode == "int8"
        assert (part.compute_dtype, part.variable_dtype) == ("float32", "float32")
    np.testing.assert_array_equal(layer.eigenvalues, expected)


# By dtype policies


def by_argument(kind):
    return kind.make(dtype=INT8)


def by_global_policy(kind):
    keras.config.set_dtype_policy(INT8)
    try:
        return kind.make()
    finally:
        keras.config.set_dtype_policy("float32")


def by_path(kind):
    policy = keras.dtype_policies.get(INT8)
    policies = keras.dtype_policies.DTypePolicyMap("float32", {"some": policy})
    other = kind.make(dtype=policies, name="other")
    assert other.dtype_policy.name == "float32"
    return kind.make(dtype=policies, name="some")


def by_assignment(kind):
    layer = kind.make()
    layer.dtype_policy = INT8
    return layer


def by_assignment_before(kind):
    layer = kind.make(built=False)
    layer.dtype_policy = INT8
    layer.build((BATCH, None, kind.features))
    return layer


WAYS = {
    "argument": by_argument,
    "global policy": by_global_policy,
    "path": by_path,
    "assignment": by_assignment,
    "assignment before": by_assignment_before,
}


@pytest.mark.parametrize(
    ("kind", "way"),
    each_kind(WAYS, fast=[("lru", "path"), ("s5", "argument")], names=NAMES),
)
def test_policies(kind, way):
    layer, expected = WAYS[way](kind), quantized(kind)
    assert layer.dtype_policy.name == layer.cell.dtype_policy.name == INT8
    assert layer.get_config()["dtype"]["config"]["mode"] == "int8"
    names = [w.name for w in expected.weights]
    assert [w.name for w in layer.weights] == names
    layer.set_weights(expected.get_weights())
    assert_same(layer(kind.inputs()), expected(kind.inputs()))
    with pytest.raises(ValueError, match="already quantized"):
        layer.quantize("int8")


@lru_first
def test_copies_by_the_config(kind):
    layer = quantized(kind)
    copy = type(layer).from_config(layer.get_config())
    copy.build((None, None, kind.features))
    copy.set_weights(layer.get_weights())
    assert_same(copy(kind.inputs()), layer(kind.inputs()))


# In low rank


def trained_in_low_rank(layer):
    rng = np.random.default_rng(0)
    for name in ("lora_B_b", "lora_C_b"):
        weight = getattr(layer.cell, name)
        weight.assign(rng.normal(size=weight.shape) / 10)


@pytest.mark.parametrize(
    ("kind", "first"),
    each_kind(
        ["low rank", "int8"],
        fast=[("lru", "low rank"), ("s5", "int8")],
        names=NAMES,
    ),
)
def test_low_rank_beside_integers(kind, first, tmp_path):
    layer = kind.make(return_sequences=True)
    steps = [lambda: layer.enable_lora(2), lambda: layer.quantize("int8")]
    for step in steps if first == "low rank" else steps[::-1]:
        step()
    trained_in_low_rank(layer)
    weights = dequantized(layer)
    for name, columns in (("B", layer.cell.num_states), ("C", kind.units)):
        product = weights[f"lora_{name}_a"] @ weights[f"lora_{name}_b"]
        weights[f"{name}_re"] = weights[f"{name}_re"] + product[:, :columns]
        weights[f"{name}_im"] = weights[f"{name}_im"] + product[:, columns:]
    x = kind.inputs()
    expected, _ = kind.reference(layer, x, weights=weights)
    assert_close(layer(x), expected)

    # A file holds the sums, as integers again.
    model = keras.Sequential([layer])
    model.build((None, None, kind.features))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    again = loaded.layers[0]
    assert not again.lora_enabled
    assert dtype_of(again.cell.B_re) == "int8"
    bound = change_at_most(kind, weights, again, x)
    assert (np.abs(numpy_of(again(x)) - expected) <= bound + 1e-4).all()
    # Read into what has products, there are none besides.
    model.load_weights(tmp_path / "model.keras")
    assert_same(layer(x), again(x))

    plain = keras.Sequential([kind.make()])
    plain.build((None, None, kind.features))
    plain.save_weights(tmp_path / "plain.weights.h5")
    with pytest.raises(ValueError, match="quantized and one that is not"):
        model.load_weights(tmp_path / "plain.weights.h5")
    assert_same(layer(x), again(x))


# Refused


def test_what_cannot_be_is_refused():
    kind = KINDS["lru"]
    with pytest.raises(ValueError, match="layer that isn't yet built"):
        kind.make(built=False).quantize("int8")
    layer = kind.make()
    before = layer.get_weights()
    for mode in ("int4", "float8"):
        with pytest.raises(NotImplementedError, match=f"'int8' and.*else.*'{mode}'"):
            layer.quantize(mode)
    with pytest.raises(NotImplementedError, match=r"to nothing else.*mode='float8'"):
        layers.LRU(4, dtype="float8_from_float32")
    with pytest.raises(ValueError, match=r"must have axis=0.*shape"):
        layer.quantize(config=Int8QuantizationConfig(AbsMaxQuantizer(axis=1)))
    with pytest.raises(ValueError, match="float16"):
        kind.make(dtype="mixed_float16").quantize("int8")
    assert layer.dtype_policy.name == "float32"
    for a, b in zip(layer.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    layer.quantize("int8")
    with pytest.raises(ValueError, match=r"already quantized with.*int8_from_float32"):
        layer.quantize("int8")
    with pytest.raises(ValueError, match="reduce it first, and quantize it then"):
        reduce_states(layer, state_size=2)


class ScaledCell(layers.LRUCell):
    """A subclass, whose arithmetic may be another."""


def test_subclasses_are_asked_for():
    rnn = keras.layers.RNN(ScaledCell(4))
    rnn.build((BATCH, None, 3))
    with pytest.raises(NotImplementedError, match="pass `type_check=False`"):
        rnn.cell.quantize("int8")
    rnn.cell.quantize("int8", type_check=False)
    assert dtype_of(rnn.cell.B_re) == "int8"


@pytest.mark.parametrize("name", sorted(set(KINDS) - set(NAMES)))
def test_other_recurrences_say_no(name):
    with pytest.raises(NotImplementedError, match="does not have a `quantize`"):
        KINDS[name].make().quantize("int8")
