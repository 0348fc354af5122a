import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru.ops import diagonal_ssm, naive

from ..differentiate import gradients
from ..scans import SCANS

FEEDTHROUGHS = ["none", "vector", "matrix"]
# log|λ|: on a ring, close to the unit circle, and so close to zero that λ underflows.
REGIMES = ["ring", "hard", "origin"]
BATCH, INPUTS, STATES, OUTPUTS = 2, 3, 4, 2


def run(
    inputs,
    log_modulus,
    angle,
    B_re,
    B_im,
    C_re,
    C_im,
    D=None,
    x_re=None,
    x_im=None,
    lengths=None,
    **options,
):
    initial = None if x_re is None else (x_re, x_im)
    return diagonal_ssm(
        inputs,
        log_modulus,
        angle,
        (B_re, B_im),
        (C_re, C_im),
        D,
        initial_state=initial,
        lengths=lengths,
        **options,
    )


def random_log_modulus(rng, regime, n=STATES):
    if regime == "ring":
        return np.log(rng.uniform(0.1, 0.95, n))
    if regime == "hard":
        return np.log1p(-(10 ** rng.uniform(-4, -2, n)))
    return rng.choice([-5.0, -80.0, -1e30], n)


class Problem:
    """A random system, the weights of a loss on all of its results, and both."""

    def __init__(
        self,
        length,
        seed=0,
        regime="ring",
        feedthrough="matrix",
        initial=True,
        lengths=None,
        return_sequences=True,
        max_phase=2 * np.pi,
    ):
        rng = np.random.default_rng(seed)
        outputs = INPUTS if feedthrough == "vector" else OUTPUTS
        self.arguments = {
            "inputs": rng.normal(size=(BATCH, length, INPUTS)),
            "log_modulus": random_log_modulus(rng, regime),
            "angle": rng.uniform(0, max_phase, STATES),
        }
        for name in ("B_re", "B_im"):
            self.arguments[name] = rng.normal(size=(INPUTS, STATES))
        for name in ("C_re", "C_im"):
            self.arguments[name] = rng.normal(size=(STATES, outputs))
        if feedthrough != "none":
            shape = (outputs,) if feedthrough == "vector" else (INPUTS, outputs)
            self.arguments["D"] = rng.normal(size=shape)
        if initial:
            for name in ("x_re", "x_im"):
                self.arguments[name] = rng.normal(size=(BATCH, STATES))
        for name, value in self.arguments.items():
            self.arguments[name] = value.astype("float32")
        if lengths is not None:
            self.arguments["lengths"] = np.minimum(lengths, length).astype("int32")
        self.return_sequences = return_sequences
        shape = (BATCH, length, outputs) if return_sequences else (BATCH, outputs)
        self.cotangents = [
            rng.normal(size=s).astype("float32")
            for s in (shape, (BATCH, STATES), (BATCH, STATES))
        ]

    def exact(self):
        """The arguments as float64 and complex128 numbers."""
        given = {
            k: x if k == "lengths" else x.astype("float64")
            for k, x in self.arguments.items()
        }
        u = given["inputs"]
        return {
            "u": u,
            "eigenvalues": np.exp(given["log_modulus"] + 1j * given["angle"]),
            "B": given["B_re"] + 1j * given["B_im"],
            "C": given["C_re"] + 1j * given["C_im"],
            "D": given.get("D"),
            "x": given.get("x_re", np.zeros((BATCH, STATES)))
            + 1j * given.get("x_im", 0.0),
            "lengths": given.get("lengths", np.full(BATCH, u.shape[1])),
        }

    def expected(self):
        v = self.exact()
        system = (v["u"], v["eigenvalues"], v["B"], v["C"], v["D"], v["x"])
        outputs, _ = naive.diagonal_ssm(*system)
        mask = np.arange(v["u"].shape[1]) < v["lengths"][:, None]
        _, state = naive.diagonal_ssm(*system, mask=mask)
        if not self.return_sequences:
            padded = np.concatenate([np.zeros_like(outputs[:, :1]), outputs], axis=1)
            if not outputs.shape[1]:
                padded = np.zeros((BATCH, 1, outputs.shape[-1]))
            outputs = padded[np.arange(BATCH), v["lengths"]]
        return [outputs, state.real, state.imag]

    def gradients(self):
        """By hand: the adjoint recurrence, in float64."""
        v = self.exact()
        u, a, B, C, D = (v[k] for k in ("u", "eigenvalues", "B", "C", "D"))
        d_outputs, d_re, d_im = (x.astype("float64") for x in self.cotangents)
        d_y = np.zeros((*u.shape[:2], C.shape[-1]))
        last = np.arange(u.shape[1]) == v["lengths"][:, None] - 1
        d_y += d_outputs if self.return_sequences else 0
        if not self.return_sequences:
            d_y += last[..., None] * d_outputs[:, None]
        d_state = d_re + 1j * d_im

        states = [v["x"]]
        for t in range(u.shape[1]):
            states.append(a * states[-1] + u[:, t] @ B)
        d_a, d_B, d_C = np.zeros_like(a), np.zeros_like(B), np.zeros_like(C)
        d_u = np.zeros_like(u)
        adjoint = np.zeros_like(v["x"])
        for t in reversed(range(u.shape[1])):
            adjoint = adjoint + d_y[:, t] @ C.conj().T + last[:, t, None] * d_state
            d_C += states[t + 1].conj().T @ d_y[:, t]
            d_B += u[:, t].T @ adjoint
            d_u[:, t] = (adjoint @ B.conj().T).real
            d_a += (states[t].conj() * adjoint).sum(0)
            adjoint = a.conj() * adjoint
        adjoint = adjoint + (v["lengths"] == 0)[:, None] * d_state
        polar = a.conj() * d_a
        gradients = {
            "log_modulus": polar.real,
            "angle": polar.imag,
            "B_re": d_B.real,
            "B_im": d_B.imag,
            "C_re": d_C.real,
            "C_im": d_C.imag,
            "x_re": adjoint.real,
            "x_im": adjoint.imag,
        }
        if D is not None and D.ndim == 1:
            d_u += d_y * D
            gradients["D"] = (u * d_y).sum((0, 1))
        elif D is not None:
            d_u += d_y @ D.T
            gradients["D"] = np.einsum("bth,bto->ho", u, d_y)
        return {**gradients, "inputs": d_u}


def check(evaluate, error, mode, problem, bound, function=run, **options):
    """Every result and every gradient."""
    if not problem.return_sequences:
        options["return_sequences"] = False
    actual, gradients = evaluate(
        function, problem.arguments, problem.cotangents, mode, ("inputs",), **options
    )
    for x, y in zip(actual, problem.expected(), strict=True):
        assert error(x, y) < bound
    expected = problem.gradients()
    for name, gradient in gradients.items():
        assert error(gradient, expected[name]) < bound, name


# The judge


@pytest.mark.parametrize("feedthrough", FEEDTHROUGHS)
@pytest.mark.parametrize("return_sequences", [True, False], ids=["all", "last"])
def test_adjoint_by_hand_matches_finite_differences(feedthrough, return_sequences):
    problem = Problem(
        4,
        feedthrough=feedthrough,
        lengths=np.array([3, 0]),
        return_sequences=return_sequences,
    )
    gradients = problem.gradients()

    def loss(name, index, step):
        problem.arguments[name] = original[name].astype("float64")
        problem.arguments[name][index] += step
        results = problem.expected()
        problem.arguments[name] = original[name]
        return sum(np.sum(x * w) for x, w in zip(results, weights, strict=True))

    original = dict(problem.arguments)
    weights = problem.cotangents
    for name, value in original.items():
        if name == "lengths":
            continue
        for index in np.ndindex(value.shape):
            difference = loss(name, index, 1e-6) - loss(name, index, -1e-6)
            # Rounding of a loss of about 100 over a step of 1e-6.
            assert abs(difference / 2e-6 - gradients[name][index]) < 1e-6, name


# Values and gradients


@pytest.mark.parametrize(
    ("scan", "block_size"),
    [
        (scan, block_size)
        for scan, block_size in [
            ("sequential", 1),
            ("sequential", 4),
            ("chunked", 4),
            ("associative", 2),
            ("pallas", 4),
        ]
        if scan in SCANS
    ],
)
def test_matches_the_loop_when_traced(evaluate, error, traced_mode, scan, block_size):
    # 70 steps are 17 full blocks of 4 and a rest, and 17 blocks a chunk and a rest.
    length = 70 if block_size == 4 and scan == "chunked" else 18
    problem = Problem(length)
    check(evaluate, error, traced_mode, problem, 1e-5, scan=scan, block_size=block_size)


@pytest.mark.parametrize(
    ("block_size", "feedthrough", "return_sequences"),
    [(1, "none", True), (4, "vector", True), (4, "none", False), (1, "vector", False)],
)
def test_lengths_when_traced(
    evaluate, error, traced_mode, block_size, feedthrough, return_sequences
):
    problem = Problem(
        6,
        feedthrough=feedthrough,
        lengths=np.array([5, 2]),
        return_sequences=return_sequences,
    )
    check(evaluate, error, traced_mode, problem, 1e-5, block_size=block_size)


def test_every_mode(evaluate, error, mode):
    check(evaluate, error, mode, Problem(3), 1e-5, scan="chunked", block_size=2)


@pytest.mark.slow
@pytest.mark.parametrize("scan", SCANS)
def test_matches_the_loop_when_eager(evaluate, error, scan):
    check(evaluate, error, "eager", Problem(18), 1e-5, scan=scan, block_size=1)


@pytest.mark.parametrize("length", [0, 1, 4])
@pytest.mark.parametrize("return_sequences", [True, False], ids=["all", "last"])
def test_few_steps(evaluate, error, traced_mode, length, return_sequences):
    problem = Problem(length, return_sequences=return_sequences)
    check(evaluate, error, traced_mode, problem, 1e-5, block_size=4)


@settings(deadline=None, max_examples=8)
@given(data=st.data())
def test_matches_the_loop(evaluate, error, fast_mode, data):
    length = data.draw(st.sampled_from([0, 1, 2, 3, 4, 5, 63, 200]), "length")
    lengths = data.draw(
        st.none() | st.lists(st.integers(0, length), min_size=BATCH, max_size=BATCH),
        "lengths",
    )
    problem = Problem(
        length,
        seed=data.draw(st.integers(0, 2**32 - 1), "seed"),
        regime=data.draw(st.sampled_from(REGIMES), "regime"),
        feedthrough=data.draw(st.sampled_from(FEEDTHROUGHS), "feedthrough"),
        initial=data.draw(st.booleans(), "initial"),
        lengths=lengths,
        return_sequences=data.draw(st.booleans(), "return_sequences"),
    )
    check(
        evaluate,
        error,
        fast_mode,
        problem,
        # float32 keeps 6e-8 of a term, the sums have up to 400 and cancel in part.
        1e-4,
        scan=data.draw(st.sampled_from([*SCANS, "auto"]), "scan"),
        block_size=data.draw(st.sampled_from([1, 2, 3, 4, 16, "auto"]), "block_size"),
    )


@pytest.mark.parametrize("regime", REGIMES)
@pytest.mark.parametrize("scan", ["sequential", "associative"])
def test_regimes(evaluate, error, fast_mode, regime, scan):
    # As above.
    check(
        evaluate,
        error,
        fast_mode,
        Problem(63, regime=regime),
        1e-4,
        scan=scan,
        block_size=2,
    )


@pytest.mark.parametrize("block_size", [1, 2])
@settings(deadline=None, max_examples=8)
@given(pieces=st.lists(st.sampled_from([0, 1, 2, 3, 5, 8]), min_size=1, max_size=5))
def test_pieces_with_the_state_handed_on_are_the_whole(
    evaluate, error, fast_mode, block_size, pieces
):
    whole = Problem(sum(pieces))
    arguments = dict(whole.arguments)
    outputs, start = [], 0
    for piece in pieces:
        arguments["inputs"] = whole.arguments["inputs"][:, start : start + piece]
        results, _ = evaluate(run, arguments, mode=fast_mode, block_size=block_size)
        output, *state = results
        arguments.update(
            {
                k: x.astype("float32")
                for k, x in zip(("x_re", "x_im"), state, strict=True)
            }
        )
        outputs.append(output)
        start += piece
    expected, *last = whole.expected()
    # A few roundings a step.
    assert error(np.concatenate(outputs, axis=1), expected) < 1e-5
    for x, y in zip(state, last, strict=True):
        assert error(x, y) < 1e-5


def test_first_steps_by_hand():
    one, zero = np.ones((1, 1), "float32"), np.zeros((1, 1), "float32")
    for block_size in (1, 2, 3):
        outputs, (x_re, x_im) = diagonal_ssm(
            np.float32([[[1], [0], [2]]]),
            np.log(np.float32([0.5])),
            np.float32([np.pi / 2]),
            (one, zero),
            (one, one),
            np.float32([10]),
            block_size=block_size,
        )
        # x = 1, i/2, 2 − 1/4;  y = Re((1 + i)·x) + 10·u
        np.testing.assert_allclose(outputs[0, :, 0], [11, -0.5, 21.75], atol=1e-6)
        np.testing.assert_allclose([x_re[0, 0], x_im[0, 0]], [1.75, 0], atol=1e-6)


@pytest.mark.parametrize("scan", SCANS)
def test_empty_batch(scan):
    arguments = Problem(37).arguments
    for name in ("inputs", "x_re", "x_im"):
        arguments[name] = arguments[name][:0]
    for block_size in (1, 2):
        outputs, (x_re, _) = run(**arguments, scan=scan, block_size=block_size)
        assert tuple(outputs.shape) == (0, 37, OUTPUTS)
        assert tuple(x_re.shape) == (0, STATES)


@pytest.mark.parametrize("block_size", [1, 4])
@pytest.mark.parametrize("scan", SCANS)
def test_not_a_number_stays_in_its_sequence(evaluate, fast_mode, scan, block_size):
    options = {"mode": fast_mode, "scan": scan, "block_size": block_size}
    problem = Problem(18)
    clean, _ = evaluate(run, problem.arguments, **options)
    problem.arguments["inputs"][1, 2] = np.nan
    spoiled, _ = evaluate(run, problem.arguments, **options)
    for x, y in zip(clean, spoiled, strict=True):
        np.testing.assert_array_equal(x[0], y[0])
        assert np.isnan(y[1]).any()


# Precision


def long_problem(length=16384):
    """The setting of the paper's PathX: the ring [0.999, 0.9999], phases to π/10."""
    problem = Problem(length, max_phase=np.pi / 10, feedthrough="none", initial=False)
    rng = np.random.default_rng(1)
    arguments = problem.arguments
    arguments["inputs"] = arguments["inputs"][:1]
    modulus = rng.uniform(0.999, 0.9999, STATES)
    arguments["log_modulus"] = np.log(modulus).astype("float32")
    v = problem.exact()
    outputs, state = naive.diagonal_ssm(v["u"], v["eigenvalues"], v["B"], v["C"])
    return arguments, outputs, state


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="its peer is JAX's scan")
def test_long_sequence_is_as_exact_as_the_complex_scan_of_jax(evaluate, error):
    import jax
    import jax.numpy as jnp

    arguments, outputs, _ = long_problem()

    @jax.jit
    def peer(inputs, log_modulus, angle, B_re, B_im, C_re, C_im):
        u = inputs.astype("complex64") @ (B_re + 1j * B_im)
        a = jnp.broadcast_to(jnp.exp(log_modulus + 1j * angle), u.shape)
        _, x = jax.lax.associative_scan(
            lambda p, q: (q[0] * p[0], q[0] * p[1] + q[1]), (a, u), axis=1
        )
        return (x @ (C_re + 1j * C_im)).real

    of_peer = error(peer(**arguments), outputs)
    for scan in SCANS:
        for block_size in (1, 4):
            (y, *_), _ = evaluate(
                run, arguments, mode="jit", scan=scan, block_size=block_size
            )
            assert error(y, outputs) < 2 * of_peer


@pytest.mark.slow
@pytest.mark.parametrize("scan", SCANS)
def test_long_sequence(evaluate, error, fast_mode, scan):
    arguments, outputs, state = long_problem()
    (y, x_re, x_im), _ = evaluate(
        run, arguments, mode=fast_mode, scan=scan, block_size=4
    )
    # A state remembers up to 1 / (1 - 0.9999) = 10,000 roundings of 6e-8, in one
    # direction at worst 6e-4, at random 6e-6.
    assert error(y, outputs) < 1e-4
    assert error(x_re, state.real) < 1e-4
    assert error(x_im, state.imag) < 1e-4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("block_size", [1, 4])
def test_half_precision_keeps_the_state_in_float32(error, dtype, block_size):
    problem = Problem(200, regime="hard")
    rounded = ops.cast(problem.arguments["inputs"], dtype)
    problem.arguments["inputs"] = ops.convert_to_numpy(ops.cast(rounded, "float32"))
    y, state, _ = problem.expected()
    outputs, states = run(
        **{**problem.arguments, "inputs": rounded}, block_size=block_size
    )
    assert keras.backend.standardize_dtype(outputs.dtype) == dtype
    for x in states:
        assert keras.backend.standardize_dtype(x.dtype) == "float32"
    # Only the factors and results of products are rounded, to half of this unit.
    unit = {"float16": 2**-10, "bfloat16": 2**-7}[dtype]
    assert error(states[0], state) < 2 * unit
    assert error(ops.cast(outputs, "float32"), y) < 3 * unit


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="Keras has none on JAX"
)
@pytest.mark.parametrize("block_size", [1, 4])
@pytest.mark.parametrize("scan", SCANS)
def test_float64(error, scan, block_size):
    problem = Problem(63)
    arguments = {k: x.astype("float64") for k, x in problem.arguments.items()}
    outputs, states = run(**arguments, scan=scan, block_size=block_size)
    for x, y in zip((outputs, *states), problem.expected(), strict=True):
        assert x.dtype == "float64"
        assert error(x, y) < 1e-13


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="jax.export")
@pytest.mark.parametrize("block_size", [1, 4])
@pytest.mark.parametrize("scan", SCANS)
def test_exports_with_symbolic_batch_and_time(error, scan, block_size):
    import jax

    problem = Problem(7, initial=False)
    system = {k: x for k, x in problem.arguments.items() if k != "inputs"}
    batch, time = jax.export.symbolic_shape("batch, time")
    exported = jax.export.export(
        jax.jit(lambda u: run(u, **system, scan=scan, block_size=block_size))
    )(jax.ShapeDtypeStruct((batch, time, INPUTS), "float32"))
    outputs, (x_re, _) = exported.call(problem.arguments["inputs"])
    y, state, _ = problem.expected()
    assert error(outputs, y) < 1e-5
    assert error(x_re, state) < 1e-5


@pytest.mark.parametrize("scan", SCANS)
def test_variables_serve_as_arguments(error, scan):
    problem = Problem(63)
    names = ("log_modulus", "angle", "B_re", "C_re", "D")
    variables = {k: keras.Variable(problem.arguments[k]) for k in names}
    outputs, _ = run(**{**problem.arguments, **variables}, scan=scan)
    assert error(outputs, problem.expected()[0]) < 1e-5


# Errors


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"inputs": np.ones((5, 3))}, r"`inputs` must have shape .*\(5, 3\)"),
        ({"inputs": np.ones((2, 5, 3), "int32")}, "`inputs` must be floating.*int32"),
        ({"log_modulus": np.ones(4, "int32")}, "`log_modulus` must be floating.*int32"),
        ({"log_modulus": np.ones((4, 1))}, r"`log_modulus` must .*\(4, 1\)"),
        ({"angle": np.ones(3)}, r"`angle` must have shape \(4,\).*Received.*\(3,\)"),
        ({"B_im": np.ones((4, 4))}, r"`B` must have shape \(3, 4\).*\(4, 4\)"),
        ({"C_re": np.ones((3, 2))}, r"`C` must have shape \(4, 2\).*\(3, 2\)"),
        ({"C_re": np.ones(4)}, r"`C` must have shape .*\(4,\)"),
        ({"D": np.ones(2)}, r"`D` must have shape \(3, 2\).*Received: shape \(2,\)"),
        ({"x_im": np.ones((2, 3))}, r"`initial_state` must .*\(2, 3\)"),
        ({"lengths": np.ones((2, 1), int)}, r"`lengths` must .*\(2, 1\)"),
        ({"scan": "fast"}, "`scan` must be one of .*scan='fast'"),
        ({"block_size": 0}, "`block_size` must be .*block_size=0"),
    ],
    ids=lambda x: next(iter(x)) if isinstance(x, dict) else "",
)
def test_wrong_arguments_are_named(changed, message):
    with pytest.raises(ValueError, match=message):
        run(**{**Problem(5).arguments, **changed})


@pytest.mark.skipif(
    keras.backend.backend() == "jax", reason="float64 needs jax_enable_x64"
)
@pytest.mark.parametrize("scan", SCANS)
def test_second_derivative_in_double_precision(scan):
    rng = np.random.default_rng(0)
    # Just enough steps for a second chunk.
    u = rng.normal(size=(1, 17, 2))
    B, C = ([rng.normal(size=s) for _ in "ri"] for s in ((2, 3), (3, 1)))
    point, direction = rng.uniform(0.1, 1.0, (2, 3)), rng.normal(size=(2, 3))

    def loss(point):
        polar = -point[0], point[1]
        y, _ = diagonal_ssm(u, *polar, B, C, scan=scan, block_size=1)
        return ops.sum(y * y)

    def slope(point):
        return ops.sum(ops.multiply(gradients(loss, point)[0], direction))

    actual = ops.convert_to_numpy(gradients(slope, point)[0])
    step = 1e-6
    for index in np.ndindex(2, 3):
        offset = np.zeros((2, 3))
        offset[index] = step
        difference = (slope(point + offset) - slope(point - offset)) / (2 * step)
        # The difference is good to about 1e-8 of the largest.
        assert abs(actual[index] - difference) < 1e-6 * np.abs(actual).max()
