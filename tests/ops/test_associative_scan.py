import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru.ops import associative_scan

SHORT = [0, 1, 2, 3]
LONG = [63, 1000]
PRIME = 97


def fold(f, elements, reverse=False):
    """The definition: a loop over a list of elements."""
    if reverse:
        return fold(f, elements[::-1])[::-1]
    results = []
    for element in elements:
        results.append(f(results[-1], element) if results else element)
    return results


def compose(first, second):
    """Affine maps one after the other, modulo a prime: exact and not commutative."""
    return (
        second[0] * first[0] % PRIME,
        (second[0] * first[1] + second[1]) % PRIME,
    )


def affine_maps(a, b, axis=0, reverse=False):
    return associative_scan(compose, (a, b), reverse=reverse, axis=axis)


def keras_affine_maps(a, b, axis, reverse):
    return ops.associative_scan(compose, (a, b), reverse=reverse, axis=axis)


def random_maps(shape, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(1, PRIME, shape).astype("int32") for _ in range(2)]


def composed(a, b, axis=0, reverse=False):
    pairs = zip(np.moveaxis(a, axis, 0), np.moveaxis(b, axis, 0), strict=True)
    results = fold(compose, list(pairs), reverse)
    if not results:
        return a, b
    return [np.moveaxis(np.stack(x), 0, axis) for x in zip(*results, strict=True)]


def products(matrices, reverse=False):
    return associative_scan(ops.matmul, matrices, reverse=reverse)


def orthogonal(length, seed=0):
    """Rotations and reflections: products of any number of them stay of norm one."""
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi, length)
    sign = rng.choice([-1.0, 1.0], length)
    cos, sin = np.cos(angle), np.sin(angle)
    matrices = np.array([[cos, -sin * sign], [sin, cos * sign]])
    return np.moveaxis(matrices, -1, 0).astype("float32")


def product_gradient(matrices, weights):
    """Gradient of the sum of `weights · P` of the products P_k = M_0 … M_k."""
    M, W = np.asarray(matrices, "float64"), np.asarray(weights, "float64")
    P = np.array(fold(np.matmul, list(M))).reshape(M.shape)
    gradient, adjoint = np.zeros_like(M), np.zeros((2, 2))
    for k in reversed(range(len(M))):
        adjoint = W[k] + (adjoint @ M[k + 1].T if k + 1 < len(M) else 0)
        gradient[k] = (P[k - 1].T if k else np.eye(2)) @ adjoint
    return P, gradient


# Values


def check_against_fold(evaluate, mode, length, reverse):
    a, b = random_maps((3, length))
    actual, _ = evaluate(
        affine_maps, {"a": a, "b": b}, None, mode, ("a", "b"), axis=1, reverse=reverse
    )
    for x, y in zip(actual, composed(a, b, 1, reverse), strict=True):
        np.testing.assert_array_equal(x, y)
        assert x.dtype == "int32"


@pytest.mark.parametrize("length", SHORT)
def test_equals_the_fold_exactly_at_short_lengths(evaluate, mode, length):
    check_against_fold(evaluate, mode, length, reverse=length > 1)


@pytest.mark.parametrize("length", LONG)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_equals_the_fold_exactly(evaluate, traced_mode, length, reverse):
    check_against_fold(evaluate, traced_mode, length, reverse)


def test_equals_the_fold_exactly_at_a_long_length(evaluate, traced_mode):
    a, b = random_maps((1, 16384))
    actual, _ = evaluate(
        affine_maps, {"a": a, "b": b}, None, traced_mode, ("a", "b"), axis=1
    )
    for x, y in zip(actual, composed(a, b, 1), strict=True):
        np.testing.assert_array_equal(x, y)


@settings(deadline=None, max_examples=25)
@given(
    data=st.data(),
    shape=st.lists(st.sampled_from([1, 2, 5]), min_size=1, max_size=4),
    reverse=st.booleans(),
)
def test_any_axis_of_any_shape(evaluate, fast_mode, data, shape, reverse):
    axis = data.draw(st.integers(-len(shape), len(shape) - 1))
    a, b = random_maps(tuple(shape))
    actual, _ = evaluate(
        affine_maps, {"a": a, "b": b}, mode=fast_mode, axis=axis, reverse=reverse
    )
    for x, y in zip(actual, composed(a, b, axis, reverse), strict=True):
        np.testing.assert_array_equal(x, y)


def decayed_sums(decay, state, level):
    """Leaves of different ranks in a nested structure, time last."""

    def f(first, second):
        return {
            "decay": second["decay"] * first["decay"],
            "rest": [
                second["decay"] * first["rest"][0] + second["rest"][0],
                (second["decay"] * first["rest"][1][0] + second["rest"][1][0],),
            ],
        }

    elems = {"decay": decay, "rest": [state, (level,)]}
    result = associative_scan(f, elems, axis=-1)
    assert isinstance(result["rest"][1], tuple)
    return result["decay"], result["rest"][0], result["rest"][1][0]


@pytest.mark.parametrize("length", [0, 1, 7])
def test_nested_structure_of_different_ranks(evaluate, error, traced_mode, length):
    rng = np.random.default_rng(0)
    decay = rng.uniform(0.5, 1, length).astype("float32")
    state = rng.normal(size=(2, 3, length)).astype("float32")
    level = rng.normal(size=(3, length)).astype("float32")
    arguments = {"decay": decay, "state": state, "level": level}
    actual, _ = evaluate(decayed_sums, arguments, mode=traced_mode)
    expected = [np.cumprod(decay.astype("float64")), np.zeros_like(state), 0 * level]
    for x, total in ((state, expected[1]), (level, expected[2])):
        running = 0.0
        for t in range(length):
            running = decay[t] * running + x[..., t]
            total[..., t] = running
    for x, y in zip(actual, expected, strict=True):
        assert error(x, y) < 1e-6  # a few roundings of float32


@pytest.mark.parametrize("dtype", ["float16", "float32", "int32", "uint8"])
def test_dtype_is_kept(dtype):
    x = np.arange(5).astype(dtype)
    result = associative_scan(lambda a, b: a + b, x)
    assert keras.backend.standardize_dtype(result.dtype) == dtype
    np.testing.assert_array_equal(ops.convert_to_numpy(result), [0, 1, 3, 6, 10])


def test_a_list_is_a_structure_and_not_a_tensor():
    result = associative_scan(lambda a, b: [a[0] + b[0]], [np.arange(3)])
    np.testing.assert_array_equal(ops.convert_to_numpy(result[0]), [0, 1, 3])


def test_maximum_and_minimum_scan_together():
    x = np.random.default_rng(0).normal(size=(4, 9)).astype("float32")
    low, high = associative_scan(
        lambda a, b: (ops.minimum(a[0], b[0]), ops.maximum(a[1], b[1])), (x, x), axis=1
    )
    np.testing.assert_array_equal(low, np.minimum.accumulate(x, axis=1))
    np.testing.assert_array_equal(high, np.maximum.accumulate(x, axis=1))


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="fails on TensorFlow")
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_same_as_keras(evaluate, reverse):
    a, b = random_maps((2, 63))
    runs = [
        evaluate(f, {"a": a, "b": b}, mode="jit", axis=1, reverse=reverse)[0]
        for f in (affine_maps, keras_affine_maps)
    ]
    for x, y in zip(*runs, strict=True):
        np.testing.assert_array_equal(x, y)


# Shapes while tracing


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf.function")
@pytest.mark.parametrize("batch", [2, None])
@pytest.mark.parametrize("time", [5, None])
def test_known_sizes_stay_known_while_tracing(batch, time):
    import tensorflow as tf

    seen = []

    @tf.function(input_signature=[tf.TensorSpec((batch, time, 3))])
    def run(x):
        y = associative_scan(lambda a, b: a + b, x, axis=1)
        seen.append(tuple(y.shape))
        return y

    x = np.ones((2, 5, 3), "float32")
    np.testing.assert_array_equal(run(x), np.cumsum(x, axis=1))
    assert seen == [(batch, time, 3)]


# Gradients


@pytest.mark.parametrize("length", SHORT)
def test_gradient_at_short_lengths(evaluate, error, mode, length):
    check_product_gradient(evaluate, error, mode, length)


@pytest.mark.parametrize("length", LONG)
def test_gradient(evaluate, error, traced_mode, length):
    check_product_gradient(evaluate, error, traced_mode, length)


def check_product_gradient(evaluate, error, mode, length):
    M = orthogonal(length)
    W = np.random.default_rng(1).normal(size=M.shape)
    (actual,), gradients = evaluate(
        products, {"matrices": M}, [W.astype("float32")], mode, timed=("matrices",)
    )
    P, expected = product_gradient(M, W)
    # Products of orthogonal matrices keep their size; errors add up like a random walk.
    assert error(actual, P) < 1e-5
    assert error(gradients["matrices"], expected) < 1e-5


def reversed_sums(decay, x):
    def f(first, second):
        return second[0] * first[0], second[0] * first[1] + second[1]

    return associative_scan(f, (decay, x), reverse=True, axis=1)[1]


def test_gradient_in_reverse_and_through_a_tuple(evaluate, error, traced_mode):
    rng = np.random.default_rng(0)
    a, x, w = rng.uniform(0.5, 1, (3, 2, 11)).astype("float32")
    _, gradients = evaluate(
        reversed_sums, {"decay": a, "x": x}, [w], traced_mode, ("decay", "x")
    )

    a, x, w = (v.astype("float64") for v in (a, x, w))
    states, adjoints = np.zeros((2, 13)), np.zeros((2, 12))
    for t in reversed(range(11)):
        states[:, t] = a[:, t] * states[:, t + 1] + x[:, t]
    for t in range(11):
        adjoints[:, t] = w[:, t] + (a[:, t - 1] * adjoints[:, t - 1] if t else 0)
    # Eleven steps of a few roundings each.
    assert error(gradients["x"], adjoints[:, :11]) < 1e-6
    assert error(gradients["decay"], adjoints[:, :11] * states[:, 1:12]) < 1e-6


# Errors


@pytest.mark.parametrize(
    ("f", "elems", "axis", "message"),
    [
        (3, np.ones(3), 0, "`f` must be callable. Received: f=3"),
        (max, (), 0, r"`elems` must hold a tensor. Received: elems=\(\)"),
        (max, np.ones(3), 1, r"`axis` must be .* axis=1, shapes \[\(3,\)\]"),
        (max, np.ones(3), -2, "`axis` must be .* axis=-2"),
        (max, np.float32(1.0), 0, "`axis` must be .* axis=0"),
        (
            max,
            (np.ones((2, 3)), np.ones((2, 4))),
            1,
            r"same size along `axis`.* axis=1, shapes \[\(2, 3\), \(2, 4\)\]",
        ),
    ],
    ids=["f", "empty", "axis", "negative-axis", "scalar", "sizes"],
)
def test_wrong_arguments_are_named(f, elems, axis, message):
    with pytest.raises(ValueError, match=message):
        associative_scan(f, elems, axis=axis)
