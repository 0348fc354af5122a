import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops, tree

from keras_lru.ops import linear_recurrence, naive

from .. import differentiate
from ..scans import SCANS

KINDS = ["constant", "varying"]
BATCH, FEATURES = 2, 3


def solve(a_re, a_im, b_re, b_im, x_re=None, x_im=None, reverse=False, scan="auto"):
    initial = None if x_re is None else (x_re, x_im)
    return linear_recurrence(
        (a_re, a_im), (b_re, b_im), initial, reverse=reverse, scan=scan
    )


def solve_real(a_re, b_re, x_re, reverse=False, scan="auto"):
    return linear_recurrence(a_re, b_re, x_re, reverse=reverse, scan=scan)


def parts(x):
    return [np.real(x).astype("float32"), np.imag(x).astype("float32")]


def normal(rng, *shape):
    """Complex numbers that float32 holds exactly."""
    x = rng.normal(size=(2, *shape)).astype("float32").astype("float64")
    return x[0] + 1j * x[1]


def coefficients(rng, kind, length, low=0.1, high=0.99):
    shape = (FEATURES,) if kind == "constant" else (BATCH, length, FEATURES)
    a = rng.uniform(low, high, shape) * np.exp(1j * rng.uniform(0, 2 * np.pi, shape))
    return a.astype("complex64").astype("complex128")


class Problem:
    """A random recurrence, the weights of a loss on all of its results, and both."""

    def __init__(self, kind, length, seed=0, initial=True, **ring):
        rng = np.random.default_rng(seed)
        self.a = coefficients(rng, kind, length, **ring)
        self.b = normal(rng, BATCH, length, FEATURES)
        self.x = normal(rng, BATCH, FEATURES) if initial else None
        self.d_states = normal(rng, BATCH, length, FEATURES)
        self.d_last = normal(rng, BATCH, FEATURES)

    @property
    def arguments(self):
        values = {"a": self.a, "b": self.b, "x": self.x}
        return {
            f"{name}_{part}": x
            for name, value in values.items()
            if value is not None
            for part, x in zip(("re", "im"), parts(value), strict=True)
        }

    @property
    def cotangents(self):
        return parts(self.d_states) + parts(self.d_last)

    def expected(self, reverse):
        states, last = naive.linear_recurrence(self.a, self.b, self.x, reverse)
        return [states.real, states.imag, last.real, last.imag]

    def gradients(self, reverse):
        """By hand: the adjoint recurrence, in float64."""
        flip = np.flip if reverse else lambda x, axis: x
        b, d_states = flip(self.b, axis=1), flip(self.d_states, axis=1)
        varies = self.a.ndim == 3
        a = flip(self.a, axis=1) if varies else np.broadcast_to(self.a, b.shape)
        x = np.zeros((BATCH, FEATURES)) if self.x is None else self.x
        d_a, d_b, adjoint = np.zeros_like(b), np.zeros_like(b), self.d_last
        earlier = [x]
        for t in range(b.shape[1]):
            earlier.append(a[:, t] * earlier[-1] + b[:, t])
        for t in reversed(range(b.shape[1])):
            adjoint = adjoint + d_states[:, t]
            d_a[:, t] = earlier[t].conj() * adjoint
            d_b[:, t] = adjoint
            adjoint = a[:, t].conj() * adjoint
        # Terms of a sum may cancel, and rounding `a` changes that much of each.
        terms = np.abs(d_a) * 1.2e-7 / (1 - np.abs(self.a))
        self.rounding = 0.0 if varies else terms.sum((0, 1)).max()
        d_a = flip(d_a, axis=1) if varies else d_a.sum((0, 1))
        values = {"a": d_a, "b": flip(d_b, axis=1), "x": adjoint}
        return {
            f"{name}_{part}": getattr(value, component)
            for name, value in values.items()
            for part, component in (("re", "real"), ("im", "imag"))
        }


def check(evaluate, error, mode, problem, bound, reverse=False, scan="auto"):
    """Every result and every gradient."""
    timed = [k for k, x in problem.arguments.items() if x.ndim == 3]
    actual, gradients = evaluate(
        solve,
        problem.arguments,
        problem.cotangents,
        mode,
        timed,
        reverse=reverse,
        scan=scan,
    )
    for x, y in zip(actual, problem.expected(reverse), strict=True):
        assert error(x, y) < bound
    expected = problem.gradients(reverse)
    for name, gradient in gradients.items():
        scale = np.abs(expected[name]).max(initial=1e-30)
        rounding = problem.rounding if name.startswith("a") else 0.0
        assert error(gradient, expected[name]) < bound + rounding / scale, name


# The judge


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reverse", [False, True], ids=["forward", "reverse"])
def test_adjoint_by_hand_matches_finite_differences(kind, reverse):
    problem = Problem(kind, 4)

    def loss():
        x_re, x_im, last_re, last_im = problem.expected(reverse)
        return np.sum(
            problem.d_states.real * x_re + problem.d_states.imag * x_im
        ) + np.sum(problem.d_last.real * last_re + problem.d_last.imag * last_im)

    gradients = problem.gradients(reverse)
    for name in ("a", "b", "x"):
        value = getattr(problem, name)
        for part, unit in (("re", 1), ("im", 1j)):
            expected = np.zeros(value.shape)
            for index in np.ndindex(value.shape):
                step = np.zeros_like(value)
                step[index] = 1e-6 * unit
                setattr(problem, name, value + step)
                above = loss()
                setattr(problem, name, value - step)
                expected[index] = (above - loss()) / 2e-6
            setattr(problem, name, value)
            # Rounding of a loss of about 10 over a step of 1e-6.
            np.testing.assert_allclose(
                gradients[f"{name}_{part}"], expected, rtol=1e-7, atol=1e-7
            )


# Values and gradients


@pytest.mark.parametrize(
    ("kind", "scan", "length"),
    [
        ("constant", "auto", 5),
        *(("varying", scan, 18) for scan in SCANS),
        ("varying", "auto", 0),
    ],
)
def test_real_numbers(evaluate, error, fast_mode, kind, scan, length):
    check_real(evaluate, error, fast_mode, kind, length, scan)


def test_real_numbers_in_every_mode(evaluate, error, mode):
    check_real(evaluate, error, mode, "varying", 3, "auto")


def check_real(evaluate, error, mode, kind, length, scan):
    problem = Problem(kind, length)
    for name in ("a", "b", "x", "d_states", "d_last"):
        setattr(problem, name, getattr(problem, name).real)
    arguments = {k: x for k, x in problem.arguments.items() if k.endswith("_re")}
    actual, gradients = evaluate(
        solve_real,
        arguments,
        [problem.d_states, problem.d_last],
        mode,
        [k for k, x in arguments.items() if x.ndim == 3],
        reverse=True,
        scan=scan,
    )
    for x, y in zip(actual, problem.expected(True)[::2], strict=True):
        assert error(x, y) < 1e-5
    expected = problem.gradients(True)
    for name, gradient in gradients.items():
        assert error(gradient, expected[name]) < 1e-5, name


FORMS = [(kind, scan) for kind in KINDS for scan in SCANS]


@pytest.mark.parametrize(("kind", "scan"), FORMS)
def test_matches_the_loop_when_traced(evaluate, error, traced_mode, kind, scan):
    # 18 steps: one full chunk of 16 and a rest; two levels of 4.
    reverse = scan != "chunked"
    check(evaluate, error, traced_mode, Problem(kind, 18), 1e-5, reverse, scan)


@pytest.mark.parametrize("kind", KINDS)
def test_every_mode(evaluate, error, mode, kind):
    check(evaluate, error, mode, Problem(kind, 3), 1e-5, True)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "scan"), FORMS)
def test_matches_the_loop_when_eager(evaluate, error, kind, scan):
    check(evaluate, error, "eager", Problem(kind, 18), 1e-5, True, scan)


@pytest.mark.parametrize(("kind", "scan"), FORMS)
@pytest.mark.parametrize("length", [0, 1])
def test_no_step_and_one_step(evaluate, error, traced_mode, kind, scan, length):
    check(evaluate, error, traced_mode, Problem(kind, length), 1e-6, False, scan)


@settings(deadline=None, max_examples=8)
@given(
    kind=st.sampled_from(KINDS),
    scan=st.sampled_from([*SCANS, "auto"]),
    length=st.sampled_from([0, 1, 2, 3, 16, 17, 63, 200]),
    reverse=st.booleans(),
    initial=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_matches_the_loop(
    evaluate, error, fast_mode, kind, scan, length, reverse, initial, seed
):
    # float32 keeps 1.2e-7 of each term; up to 1 / (1 - 0.99) terms count in a sum.
    problem = Problem(kind, length, seed, initial)
    check(evaluate, error, fast_mode, problem, 2e-5, reverse, scan)


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "scan"), FORMS)
def test_long_memory(evaluate, error, fast_mode, kind, scan):
    problem = Problem(kind, 1000, low=0.99, high=0.9999)
    # A rounding of the coefficient counts as often as it is multiplied, 1000 times.
    check(evaluate, error, fast_mode, problem, 1e-4, scan=scan)


@pytest.mark.parametrize(("kind", "scan"), FORMS)
def test_coefficient_of_exactly_zero(evaluate, error, fast_mode, kind, scan):
    problem = Problem(kind, 17 if scan == "chunked" else 5)
    problem.a[..., 0] = 0.0
    check(evaluate, error, fast_mode, problem, 1e-5, scan=scan)


@pytest.mark.parametrize("kind", KINDS)
def test_first_steps_by_hand(kind):
    shape = (1,) if kind == "constant" else (1, 3, 1)
    a = (np.full(shape, 0.0, "float32"), np.full(shape, 1.0, "float32"))
    b = (np.float32([[[1], [0], [2]]]), np.zeros((1, 3, 1), "float32"))
    states, last = linear_recurrence(a, b)
    # x = 1, i, 2 + i² = 1
    np.testing.assert_allclose(states[0][0, :, 0], [1, 0, 1], atol=1e-7)
    np.testing.assert_allclose(states[1][0, :, 0], [0, 1, 0], atol=1e-7)
    np.testing.assert_allclose([last[0][0, 0], last[1][0, 0]], [1, 0], atol=1e-7)


@pytest.mark.parametrize("kind", KINDS)
def test_empty_batch(kind):
    a = [np.ones((3,) if kind == "constant" else (0, 40, 3), "float32")] * 2
    b = [np.ones((0, 40, 3), "float32")] * 2
    for scan in SCANS:
        states, last = linear_recurrence(a, b, scan=scan)
        assert tuple(states[0].shape) == (0, 40, 3)
        assert tuple(last[0].shape) == (0, 3)


@pytest.mark.parametrize(
    ("kind", "scan"),
    [
        form
        if form == ("constant", "associative")
        else pytest.param(*form, marks=pytest.mark.slow)
        for form in FORMS
    ],
)
def test_second_derivative(error, kind, scan):
    # Just enough steps for a second chunk.
    length = 17 if scan == "chunked" else 5
    problem = Problem(kind, length, low=0.5)
    direction = Problem(kind, length, seed=1)

    def loss(arguments):
        results = tree.flatten(solve(**arguments, scan=scan))
        return sum(0.5 * ops.sum(x * x) for x in results)

    def slope(arguments):
        (gradient,) = differentiate.gradients(loss, arguments)
        return sum(
            ops.sum(ops.multiply(gradient[k], v))
            for k, v in direction.arguments.items()
        )

    (actual,) = differentiate.gradients(slope, problem.arguments)

    def gradients(step):
        moved = Problem(kind, length)
        for name in ("a", "b", "x"):
            value = getattr(problem, name) + step * getattr(direction, name)
            setattr(moved, name, value)
        x_re, x_im, last_re, last_im = moved.expected(False)
        moved.d_states, moved.d_last = x_re + 1j * x_im, last_re + 1j * last_im
        return moved.gradients(False)

    above, below = gradients(1e-6), gradients(-1e-6)
    for name, second in actual.items():
        # The differences are good to about 1e-8; the rest is float32.
        assert error(second, (above[name] - below[name]) / 2e-6) < 1e-4, name


def test_result_has_the_dtype_of_the_inputs():
    a = [np.full(1, 0.5, "float32")] * 2
    b = [np.ones((1, 2, 1), "float16")] * 2
    (states, _), (last, _) = linear_recurrence(a, b)
    assert keras.backend.standardize_dtype(states.dtype) == "float16"
    assert keras.backend.standardize_dtype(last.dtype) == "float16"


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras has none on JAX"
)
@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("kind", KINDS)
def test_float64(kind, scan):
    problem = Problem(kind, 63)
    a, b, x = ([v.real, v.imag] for v in (problem.a, problem.b, problem.x))
    states, last = linear_recurrence(a, b, x, scan=scan)
    expected = problem.expected(False)
    for actual, y in zip([*states, *last], expected, strict=True):
        assert actual.dtype == "float64"
        np.testing.assert_allclose(actual, y, atol=1e-13, rtol=0)


# Errors


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"coefficients": np.ones(3)}, "`coefficients` must be a pair"),
        ({"coefficients": [np.ones((2, 3))] * 2}, "of rank 1 or 3.*2, 3"),
        ({"coefficients": [np.ones(4)] * 2}, r"shape \(3,\) or \(2, 5, 3\).*\(4,\)"),
        ({"inputs": [np.ones((5, 3))] * 2}, r"`inputs` must be.*rank 3.*\(5, 3\)"),
        ({"inputs": [np.ones((2, 5, 3))]}, "`inputs` must be a pair"),
        (
            {"initial_state": [np.ones((2, 3)), np.ones((2, 4))]},
            r"`initial_state` must be .* one shape.*\(2, 3\), \(2, 4\)",
        ),
        ({"initial_state": [np.ones((2, 4))] * 2}, r"`initial_state` must .*\(2, 4\)"),
        ({"coefficients": [np.ones((2, 4, 3))] * 2}, r"`coefficients` .*\(2, 4, 3\)"),
        ({"scan": "fast"}, "`scan` must be one of .*scan='fast'"),
        (
            {"inputs": [np.ones((2, 5, 3), "int32")] * 2},
            "`inputs` must be floating. Received: dtype=int32",
        ),
        (
            {"coefficients": np.ones((2, 3)), "inputs": np.ones((2, 5, 3))},
            "`coefficients` must be a tensor.* rank 1 or 3.*2, 3",
        ),
    ],
    ids=[
        "no-pair",
        "rank",
        "features",
        "inputs-rank",
        "one-part",
        "parts-differ",
        "state-features",
        "coefficients-time",
        "scan",
        "integers",
        "real-rank",
    ],
)
def test_wrong_arguments_are_named(changed, message):
    arguments = {
        "coefficients": [np.ones(3, "float32")] * 2,
        "inputs": [np.ones((2, 5, 3), "float32")] * 2,
    }
    with pytest.raises(ValueError, match=message):
        linear_recurrence(**{**arguments, **changed})


def test_pairs_come_back_as_lists_that_loops_carry():
    a, b = parts(np.array([0.5 + 0.5j])), parts(np.ones((1, 3, 1)))
    states, last = linear_recurrence(a, b)
    _, again = linear_recurrence(a, b, last)
    for pair in (states, last, again):
        assert type(pair) is list
    tree.assert_same_structure(last, again)
