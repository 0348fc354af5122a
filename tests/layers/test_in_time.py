"""Steps of unequal size, and sequences that begin within a batch's rows.

The judges: a step of size n is n steps, and what begins anew is a sequence of its own,
both run by the float64 loop; and the loop with the formula for any size.
"""

import functools
import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru import layers
from keras_lru.ops.complex import Polar, pack
from keras_lru.ops.irregular import input_scale, irregular_step

from .. import differentiate
from ..cases import combinations
from ..scans import SCANS
from .kinds import KINDS
from .sequences import (
    BATCH,
    MASKS,
    TIME,
    assert_close,
    compiled,
    numpy_of,
    numpy_of_all,
    weights_of,
)

DIAGONAL = ["lru", "s5", "s4d"]
RESETTING = [*DIAGONAL, "rg_lru"]
HOLDS = ["zero_order", "impulse"]
SIZES = np.array([[1, 3, 1, 2, 1, 1, 4], [2, 2, 5, 1, 1, 3, 1], [1, 1, 1, 1, 1, 6, 1]])
RESET = np.array(
    [[0, 0, 1, 0, 0, 1, 0], [1, 0, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0, 1]], bool
)

STATES = KINDS["lru"].states(seed=2)


class Call:
    """A layer, compiled once for what it is asked many times."""

    def __init__(self, layer):
        self.layer = layer
        self.run = compiled(self._run)
        self.pull_back = compiled(
            lambda given, others, weights: differentiate.pull_back(
                lambda given: self._run(given, others), [given], weights
            )
        )

    def _run(self, given, others):
        given = dict(given)
        weights = given.pop("weights")
        return list(self.layer.stateless_call(weights, [], **given, **others)[0])

    def _split(self, x, initial_state=None, step_sizes=None, reset_to=None, **others):
        given = {
            "weights": [v.value for v in self.layer.trainable_variables],
            "sequences": x,
            "initial_state": initial_state,
            "step_sizes": None if step_sizes is None else np.float32(step_sizes),
            "reset_to": reset_to,
        }
        given = {name: value for name, value in given.items() if value is not None}
        return keras.tree.map_structure(ops.convert_to_tensor, given), others

    def __call__(self, x, **options):
        """Outputs and last states, float64."""
        return numpy_of_all(self.run(*self._split(x, **options)))

    def gradients(self, cotangents, x, **options):
        """`{name: gradient}`, of weights by their own names."""
        cotangents = [ops.cast(c, "float32") for c in cotangents]
        _, (found,) = self.pull_back(*self._split(x, **options), cotangents)
        names = [w.name for w in self.layer.trainable_variables]
        found.update(zip(names, found.pop("weights"), strict=True))
        for argument in ("initial_state", "reset_to"):
            for part, value in zip(
                self.layer.cell.state_names, found.pop(argument, []), strict=False
            ):
                found[part if argument == "initial_state" else f"to_{part}"] = value
        return {name: numpy_of(value) for name, value in found.items()}


@functools.cache
def call_of(name, **options):
    options = {"return_sequences": True, "return_state": True, **options}
    return Call(KINDS[name].make(**options))


def loop(name, layer, x, states=None, mask=None, **in_time):
    kind = KINDS[name]
    if "step_sizes" in in_time:
        in_time["hold"] = layer.cell.hold
    y, last = kind.loop(layer.cell, weights_of(layer), x, states, mask, **in_time)
    return [y, *last]


def expanded(name, layer, x, sizes, reset=None, mask=None):
    """Outputs and last states by steps of size 1, piece by piece, of whole sizes."""
    kind, weights = KINDS[name], weights_of(layer)
    impulse = getattr(layer.cell, "hold", None) == "impulse"
    outputs = np.zeros((*x.shape[:2], layer.units))
    ends = [np.zeros((len(x), n)) for n in layer.cell.state_size]
    for row in range(len(x)):
        begins = {0, *(() if reset is None else np.flatnonzero(reset[row]))}
        bounds = [*sorted(begins), x.shape[1]]
        for begin, end in itertools.pairwise(bounds):
            steps, at = [np.zeros_like(x[row, 0])], []
            for t in range(begin, end):
                if mask is None or mask[row, t]:
                    silent = (sizes[row, t] - 1) * [0 * x[row, t]]
                    held = sizes[row, t] * [x[row, t]]
                    steps += [*silent, x[row, t]] if impulse else held
                at.append(len(steps) - 1)
            # The first step is of zeros: they keep a zero state as it is.
            y, last = kind.loop(layer.cell, weights, np.array([steps])[0][None])
            y[0, 0] = 0
            outputs[row, begin:end] = y[0, at]
            for whole, part in zip(ends, last, strict=True):
                whole[row] = part[0]
    return [outputs, *ends]


# The equalities


@pytest.mark.parametrize("hold", HOLDS)
@pytest.mark.parametrize("name", DIAGONAL)
def test_a_step_of_size_n_is_n_steps(name, hold):
    call = call_of(name, hold=hold)
    kind = KINDS[name]

    @settings(deadline=None, max_examples=60)
    @given(data=st.data())
    def check(data):
        seed = data.draw(st.integers(0, 2**32 - 1), "seed")
        rng = np.random.default_rng(seed)
        sizes = rng.integers(1, 1 + data.draw(st.integers(1, 9), "most"), (BATCH, TIME))
        reset = rng.random((BATCH, TIME)) < data.draw(st.sampled_from([0, 0.3, 1]))
        mask = rng.random((BATCH, TIME)) < data.draw(st.sampled_from([0, 0.7, 1]))
        x = kind.inputs(seed=seed)
        found = call(x, step_sizes=sizes, reset=reset, mask=mask)
        expected = expanded(name, call.layer, x, sizes, reset, mask)
        # Sums of up to 60 steps.
        assert_close(found, expected, {"rtol": 1e-4, "atol": 5e-5})

    check()


@pytest.mark.parametrize("name", RESETTING)
def test_what_begins_anew_is_a_sequence_of_its_own(name):
    call, kind = call_of(name), KINDS[name]
    ones = np.ones((BATCH, TIME), int)

    @settings(deadline=None, max_examples=60)
    @given(seed=st.integers(0, 2**32 - 1), often=st.sampled_from([0.1, 0.4, 1]))
    def check(seed, often):
        rng = np.random.default_rng(seed)
        reset = rng.random((BATCH, TIME)) < often
        x = kind.inputs(seed=seed)
        found = call(x, reset=reset)
        assert_close(found, expanded(name, call.layer, x, ones, reset))
        mask = rng.random((BATCH, TIME)) < 0.6
        found = call(x, reset=reset, mask=mask)
        assert_close(found, expanded(name, call.layer, x, ones, reset, mask))

    check()


# Any size, every way, and gradients


@pytest.mark.parametrize(
    ("name", "hold"),
    combinations(DIAGONAL, HOLDS, fast=[("lru", "zero_order"), ("lru", "impulse")]),
)
def test_every_gradient_is_the_loops(name, hold):
    call, kind = call_of(name, hold=hold), KINDS[name]
    sizes = np.random.default_rng(0).uniform(0.2, 3.0, (BATCH, TIME))
    check_gradients(call, kind, {"step_sizes": sizes})
    options = {"reset": RESET, "mask": MASKS["holes"], "reset_to": kind.states(seed=2)}
    check_gradients(call, kind, {"step_sizes": sizes, **options})


@pytest.mark.parametrize("name", combinations(RESETTING, fast=[("lru",), ("rg_lru",)]))
def test_every_gradient_of_pieces_is_the_loops(name):
    call, kind = call_of(name), KINDS[name]
    check_gradients(call, kind, {"reset": RESET})
    options = {"reset": RESET, "reset_to": kind.states(seed=2)}
    check_gradients(call, kind, options)
    check_gradients(call, kind, {**options, "mask": MASKS["holes"]})


def test_a_batch_in_pieces_is_the_batch(monkeypatch):
    asked = []

    def row_pieces(arrays):
        asked.append(len(arrays[0]))
        return [slice(0, 2), slice(2, None)]

    monkeypatch.setattr("keras_lru.ops.sequences.row_pieces", row_pieces)
    kind = KINDS["lru"]
    call = Call(kind.make(return_sequences=True, return_state=True))
    call.layer.build(kind.inputs().shape)
    sizes = np.random.default_rng(0).uniform(0.2, 3.0, (BATCH, TIME))
    options = {"reset": RESET, "reset_to": kind.states(seed=2)}
    check_gradients(call, kind, {"step_sizes": sizes, **options})
    assert asked


def check_gradients(call, kind, options):
    """Along a random direction in all arguments, and for each in its own size."""
    rng = np.random.default_rng(3)
    layer, x, states = call.layer, kind.inputs(), kind.states()
    arrays = {**weights_of(layer), "sequences": np.array(x, "float64")}
    arrays.update(zip(kind.state_names, np.array(states, "float64"), strict=True))
    begun = [f"to_{name}" for name in kind.state_names]
    if "reset_to" in options:
        arrays.update(zip(begun, np.array(options["reset_to"], "float64"), strict=True))
    if "step_sizes" in options:
        arrays["step_sizes"] = np.float32(options["step_sizes"]).astype("float64")
    fixed = {n: v for n, v in options.items() if n not in ("step_sizes", "reset_to")}

    def values(arrays):
        others = dict(fixed)
        if "step_sizes" in arrays:
            others.update(step_sizes=arrays["step_sizes"], hold=layer.cell.hold)
        if "reset_to" in options:
            others["reset_to"] = [arrays[name] for name in begun]
        start = [arrays[name] for name in kind.state_names]
        y, last = kind.loop(layer.cell, arrays, arrays["sequences"], start, **others)
        return [y, *last]

    expected = values(arrays)
    found = call(x, initial_state=states, **options)
    assert_close(found, expected)
    weights = [rng.normal(size=value.shape) for value in expected]
    gradients = call.gradients(weights, x, initial_state=states, **options)

    def loss(arrays):
        return sum(np.sum(w * v) for w, v in zip(weights, values(arrays), strict=True))

    assert gradients.keys() == arrays.keys()
    for name, array in arrays.items():
        for index in list(np.ndindex(array.shape))[:: 1 + array.size // 12]:
            slopes = []
            for delta in (1e-6, -1e-6):
                moved = array.copy()
                moved[index] += delta
                slopes.append(loss({**arrays, name: moved}))
            slope = (slopes[0] - slopes[1]) / 2e-6
            largest = max(1, np.abs(gradients[name]).max())
            assert abs(gradients[name][index] - slope) < 1e-4 * largest, (name, index)


@pytest.mark.parametrize("scan", SCANS)
@pytest.mark.parametrize("name", ["lru", "rg_lru"])
def test_every_scan_gives_the_same_numbers(name, scan):
    # More steps than a chunk has.
    time = 37
    x = KINDS[name].inputs(time)
    rng = np.random.default_rng(0)
    reset = rng.random((BATCH, time)) < 0.2
    call = call_of(name, scan=scan)
    found = call(x, reset=reset)
    assert_close(found, loop(name, call.layer, x, reset=reset))
    if name == "lru":
        sizes = rng.uniform(0.2, 3.0, (BATCH, time))
        found = call(x, step_sizes=sizes, reset=reset)
        expected = loop(name, call.layer, x, step_sizes=sizes, reset=reset)
        assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "scan"),
    combinations(
        ["lru", "rg_lru"],
        SCANS,
        fast=[("lru", "sequential"), ("lru", "associative"), ("rg_lru", "sequential")],
    ),
)
def test_nothing_passes_a_restart(name, scan):
    x = KINDS[name].inputs(20)
    reset = np.zeros((BATCH, 20), bool)
    reset[:, 11] = True
    call = call_of(name, scan=scan)
    expected = call(x, reset=reset)
    weights = [np.ones_like(value) for value in expected]
    weights[0][:, :11] = 0
    slope = call.gradients(weights, x, reset=reset)["sequences"]
    assert np.any(slope[:, 11:])
    assert not np.any(slope[:, :11])
    poisoned = x.copy()
    poisoned[:, 4] = np.nan
    for options in [{}] + [{"step_sizes": np.ones((BATCH, 20))}] * (name in DIAGONAL):
        y, *last = call(poisoned, reset=reset, **options)
        assert np.isnan(y[:, 4:11]).any()
        assert_close([y[:, 11:], *last], [expected[0][:, 11:], *expected[1:]])


# As other options have it


@pytest.mark.parametrize(
    ("name", "mask"),
    combinations(
        RESETTING,
        [None, "holes", "whole rows"],
        fast=[("lru", None), ("lru", "holes"), ("rg_lru", "whole rows")],
    ),
)
def test_the_last_output_is_the_last_of_all(name, mask):
    kind = KINDS[name]
    mask = None if mask is None else MASKS[mask]
    weights = call_of(name).layer.get_weights()
    options = {"reset": RESET, "mask": mask}
    if name in DIAGONAL:
        options["step_sizes"] = SIZES
    for zero in (False, True):
        both = []
        for sequences in (True, False):
            call = call_of(name, return_sequences=sequences, zero_output_for_mask=zero)
            call.layer.set_weights(weights)
            both.append(call(kind.inputs(), initial_state=kind.states(), **options))
        (whole, *ends), (last, *others) = both
        assert_close([last, *others], [whole[:, -1], *ends])
        if zero and mask is not None:
            assert not whole[~mask].any()


@pytest.mark.parametrize("name", RESETTING)
def test_backwards_a_sequence_begins_in_the_order_of_reading(name):
    kind = KINDS[name]
    options = {"reset": RESET} | (
        {"step_sizes": np.float32(SIZES)} if name in DIAGONAL else {}
    )
    call, backwards = call_of(name), call_of(name, go_backwards=True)
    backwards.layer.set_weights(call.layer.get_weights())
    flipped = {key: value[:, ::-1] for key, value in options.items()}
    x = kind.inputs()
    assert_close(backwards(x, **options), call(x[:, ::-1], **flipped))


@pytest.mark.parametrize("name", RESETTING)
def test_kept_states_begin_anew_in_some_rows(name):
    kind = KINDS[name]
    layer = KINDS[name].make(built=False, stateful=True, return_sequences=True)
    x = kind.inputs()
    layer.build(x.shape)
    whole = call_of(name)
    whole.layer.set_weights(layer.get_weights())
    layer(x)
    found = layer(x, reset=RESET)
    twice = np.concatenate([np.zeros_like(RESET), RESET], axis=1)
    expected = whole(np.concatenate([x, x], axis=1), reset=twice)[0][:, TIME:]
    assert_close(found, expected)


@pytest.mark.parametrize(
    ("name", "hold"), combinations(DIAGONAL, HOLDS, fast=[("lru", "impulse")])
)
def test_cells_take_the_same_steps(name, hold):
    kind, call = KINDS[name], call_of(name, hold=hold)
    x, states = kind.inputs(), kind.states()
    begun = [state[:1] for state in kind.states(seed=1)]
    y, *last = call(
        x, initial_state=states, step_sizes=SIZES, reset=RESET, reset_to=begun
    )
    cell, outputs = call.layer.cell, []
    for t in range(TIME):
        output, states = cell(
            x[:, t],
            states,
            step_sizes=np.float32(SIZES)[:, t],
            reset=RESET[:, t, None],
            reset_to=begun,
        )
        outputs.append(numpy_of(output))
    assert_close([np.stack(outputs, axis=1), *states], [y, *last])


@pytest.mark.parametrize("name", DIAGONAL)
@pytest.mark.parametrize("hold", HOLDS)
def test_a_rate_is_a_size_for_all_steps(name, hold):
    kind, call = KINDS[name], call_of(name, hold=hold)
    x, states = kind.inputs(), kind.states()
    for rate in (1.0, 0.5, 3):
        sizes = np.full((BATCH, TIME), rate)
        expected = call(x, initial_state=states, step_sizes=sizes)
        assert_close(call(x, initial_state=states, rate=rate), expected)
        found = call(x, initial_state=states, rate=ops.convert_to_tensor(float(rate)))
        assert_close(found, expected)
        # Both together multiply.
        found = call(x, step_sizes=SIZES, rate=rate)
        assert_close(found, call(x, step_sizes=SIZES * rate))
    mask = MASKS["holes"]
    found = call(x, rate=0.5, mask=mask)
    sizes = np.full((BATCH, TIME), 0.5)
    assert_close(found, loop(name, call.layer, x, mask=mask, step_sizes=sizes))


@pytest.mark.parametrize("name", DIAGONAL)
@pytest.mark.parametrize("hold", HOLDS)
def test_sizes_of_one_change_nothing(name, hold):
    kind, call = KINDS[name], call_of(name, hold=hold)
    x = kind.inputs()
    expected = call(x, mask=MASKS["both"])
    ones = np.ones((BATCH, TIME, 1))
    assert_close(call(x, mask=MASKS["both"], step_sizes=ones), expected)
    nowhere = np.zeros((BATCH, TIME), bool)
    assert_close(call(x, mask=MASKS["both"], reset=nowhere), expected)


@pytest.mark.parametrize("name", RESETTING)
def test_no_steps(name):
    call = call_of(name)
    x, states = KINDS[name].inputs(0), KINDS[name].states()
    nothing = np.zeros((BATCH, 0))
    options = {"step_sizes": nothing} if name in DIAGONAL else {}
    y, *last = call(x, initial_state=states, reset=nothing.astype(bool), **options)
    assert y.shape == (BATCH, 0, call.layer.units)
    assert_close(last, states)


@pytest.mark.parametrize("hold", HOLDS)
def test_close_to_one_and_far_ahead(hold):
    """Where λ is 1 but for 1e-6, λ^Δ − 1 of sizes from 1e-3 to 1e5 keeps its digits.

    The angles of the last two are what sizes of thousands turn many times.
    """
    log_modulus = -np.float32([0.0, 1e-7, 1e-6, 1e-3, 1e-7, 1.0])
    angle = np.float32([0.0, 1e-7, 0.0, 1e-3, 0.1, 3.0])
    polar = Polar(*map(ops.convert_to_tensor, (log_modulus, angle)))
    logs = log_modulus.astype("float64") + 1j * angle
    one = pack(input_scale(polar, hold))[None]
    for size in (1e-3, 0.5, 1.0, 2.0, 1024.0, 2001.0, 1e5, 1e30):
        a, b = irregular_step(
            polar, ops.convert_to_tensor([[size]], dtype="float32"), one, hold
        )
        a, b = (numpy_of(x)[0] for x in (a, b))
        a, b = (x[:6] + 1j * x[6:] for x in (a, b))
        assert np.isfinite(a).all(), size
        if size > 1e5:
            # Turns that nobody can count; but what has decayed is gone.
            assert abs(a[[2, 3, 5]]).max() < 1e-6, size
            continue
        size = np.float64(np.float32(size))
        # What float32 holds of products with the size, and of a number of size 1.
        bound = 2e-6 + 4e-10 * size
        assert abs(a - np.exp(size * logs)).max() < bound, size
        if hold == "impulse":
            np.testing.assert_array_equal(b, 1)
            continue
        factor = np.divide(
            np.expm1(size * logs), np.expm1(logs), where=logs != 0, out=0 * logs + size
        )
        assert (abs(b - factor) / abs(factor))[:4].max() < bound, size
        # What is far from 1 is a difference of numbers of size 1.
        assert (abs(b - factor) * abs(np.expm1(logs)))[4:].max() < bound, size


@pytest.mark.parametrize("near", [0.0, 1e-4])
def test_gradients_where_an_eigenvalue_is_one(near):
    """At λ = 1 they are the limit of those beside it."""
    sizes = np.float32([[1.0], [2.0], [3.5], [0.5]])
    steps = ops.convert_to_tensor(sizes)
    one = ops.convert_to_tensor(np.float32([[1.0, 0.0]]))

    def total(log_modulus, angle):
        polar = Polar(log_modulus, angle)
        scale = pack(input_scale(polar, "zero_order"))
        _, b = irregular_step(polar, steps, scale * one, "zero_order")
        return ops.sum(b[:, :1])

    of_modulus, of_angle = differentiate.gradients(
        total, np.float32([-near]), np.float32([0.0])
    )
    # φ = Δ + Δ (Δ − 1)/2 log λ + …, of which the angle is the imaginary part.
    expected = np.sum(sizes * (sizes - 1) / 2)
    np.testing.assert_allclose(numpy_of(of_modulus), expected, rtol=2e-3)
    np.testing.assert_allclose(numpy_of(of_angle), 0.0, atol=1e-3)


def test_functional_models_take_them_as_inputs(tmp_path):
    x, sizes, reset = (
        keras.Input((None, 2)),
        keras.Input((None,)),
        keras.Input((None,), dtype="bool"),
    )
    layer = KINDS["lru"].make(return_sequences=True)
    model = keras.Model([x, sizes, reset], layer(x, step_sizes=sizes, reset=reset))
    values = [KINDS["lru"].inputs(), np.float32(SIZES), RESET]
    expected = layer(values[0], step_sizes=values[1], reset=RESET)
    assert_close(model(values), expected)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded.predict(values, verbose=0), expected)
    model.compile("adam", "mse")
    history = model.fit(values, numpy_of(expected) + 1, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]


def test_hold_is_in_the_config():
    for name in DIAGONAL:
        layer = KINDS[name].make(hold="impulse")
        assert type(layer).from_config(layer.get_config()).hold == "impulse"
        assert layer.cell.get_config()["hold"] == "impulse"
        config = KINDS[name].make().get_config()
        del config["hold"]
        assert type(layer).from_config(config).hold == "zero_order"
        with pytest.raises(ValueError, match=r"`hold` must be one of .*hold='linear'"):
            KINDS[name].make(hold="linear")


# What is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"step_sizes": -SIZES}, r"`step_sizes` must be positive.* with -1"),
        ({"step_sizes": SIZES * 0.0}, r"`step_sizes` must be positive.* with 0\.0"),
        ({"step_sizes": SIZES * np.nan}, r"`step_sizes` must be positive.* with nan"),
        ({"step_sizes": SIZES * np.inf}, r"`step_sizes` must be positive.* with inf"),
        ({"step_sizes": SIZES[:, :3]}, r"`step_sizes` must be .* \(3, 7\).*\(3, 3\)"),
        ({"step_sizes": 2.0}, r"`step_sizes` must be a tensor .*2\.0"),
        ({"reset": RESET[:1]}, r"`reset` must be a tensor .*\(3, 7\).*\(1, 7\)"),
        ({"reset_to": [1.0]}, r"`reset_to` must be a list \[x_re, x_im\]"),
        ({"reset_to": STATES}, r"`reset_to` must come with `reset`.*reset=None"),
        ({"rate": -1.0}, r"`rate` must be positive.* with -1\.0"),
        ({"rate": np.float32(0.0)}, r"`rate` must be positive.* with 0\.0"),
        ({"rate": float("nan")}, r"`rate` must be a positive number.*nan"),
        ({"rate": True}, r"`rate` must be a positive number.*True"),
        ({"rate": np.ones(3)}, r"`rate` must be .* a scalar tensor.*\(3,\)"),
    ],
)
def test_what_does_not_fit_is_refused(options, message):
    layer = KINDS["lru"].shared
    with pytest.raises(ValueError, match=message):
        layer(KINDS["lru"].inputs(), **options)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("dense_rnn", "reset"),
        ("dense_rnn", "step_sizes"),
        ("dense_rnn", "rate"),
        ("dense_rnn", "reset_to"),
        ("rg_lru", "step_sizes"),
        ("rg_lru", "rate"),
    ],
)
def test_layers_without_them_say_so(name, option):
    layer = KINDS[name].shared
    value = {"reset": RESET, "step_sizes": SIZES, "rate": 2.0, "reset_to": STATES}[
        option
    ]
    kind = type(layer).__name__
    with pytest.raises(ValueError, match=f"`{option}` must be left out: {kind} has no"):
        layer(KINDS[name].inputs(), **{option: value})


def test_a_size_at_a_masked_step_may_be_anything():
    layer, x, mask = KINDS["lru"].shared, KINDS["lru"].inputs(), MASKS["right"]
    sizes = np.where(mask, SIZES, 0.0)
    expected = layer(x, mask=mask, step_sizes=SIZES)
    assert_close(list(layer(x, mask=mask, step_sizes=sizes)), list(expected))


def test_a_size_that_is_known_too_late_gives_no_number():
    """In a trace there are no values to refuse: the result is NaN from there on."""
    call = call_of("lru")
    sizes = SIZES.astype("float32")
    sizes[0, 3] = -1.0
    given, others = call._split(KINDS["lru"].inputs())
    run = compiled_by_backend(
        lambda sizes: call._run({**given, "step_sizes": sizes}, others)
    )
    y, *others = numpy_of_all(run(ops.convert_to_tensor(sizes)))
    assert np.isfinite(y[0, :3]).all()
    assert np.isnan(y[0, 3:]).all()
    assert np.isfinite(y[1:]).all()
    assert all(np.isnan(end[0]).all() for end in others)


def compiled_by_backend(function):
    """Traced, on every backend that traces."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.function(function)
    if keras.backend.backend() == "torch":
        # Nothing is traced: its numbers are always known.
        pytest.skip("PyTorch runs eagerly")
    return compiled(function)


def test_documented_layers_name_them():
    for layer in (layers.LRU, layers.S5, layers.S4D):
        for word in ("step_sizes:", "reset:", "rate:", "hold:"):
            assert word in layer.__doc__
    assert "reset:" in layers.RGLRU.__doc__


def test_sizes_are_differentiated_eagerly():
    layer, x = KINDS["lru"].make(), KINDS["lru"].inputs()
    sizes = SIZES.astype("float32")

    def total(sizes, rate):
        return ops.sum(layer(x, step_sizes=sizes, rate=rate))

    rate = np.float32(0.5)
    of_sizes, of_rate = differentiate.gradients(total, sizes, rate)
    # Sizes and rate multiply: so do their gradients.
    expected = np.sum(numpy_of(of_sizes) * sizes) / rate
    np.testing.assert_allclose(numpy_of(of_rate), expected, rtol=1e-4)


@pytest.mark.parametrize("name", DIAGONAL)
def test_no_gradient_comes_from_a_size_at_a_masked_step(name):
    """A scale of time is learned beside padding, whose sizes are zero."""
    layer = KINDS[name].make(return_sequences=True)
    x = KINDS[name].inputs()
    mask = MASKS["holes"]
    sizes = np.where(mask, 1.5, 0.0).astype("float32")

    def total(sizes):
        return ops.mean(layer(x, step_sizes=sizes, mask=mask) ** 2)

    (found,) = map(numpy_of, differentiate.gradients(total, sizes))
    (expected,) = map(
        numpy_of, differentiate.gradients(total, np.full_like(sizes, 1.5))
    )
    assert np.abs(expected[mask]).max() > 0
    np.testing.assert_allclose(found, np.where(mask, expected, 0.0), atol=1e-6)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's graphs of any size"
)
@pytest.mark.parametrize("name", ["step_sizes", "reset"])
@pytest.mark.parametrize("shape", [(1, TIME), (BATCH, TIME - 1)])
def test_sizes_that_a_graph_learns_late_are_compared_then(name, shape):
    import tensorflow as tf

    layer = KINDS["lru"].shared
    value = {"step_sizes": np.float32(SIZES), "reset": RESET}[name]

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, KINDS["lru"].features)),
            tf.TensorSpec((None, None), value.dtype),
        ]
    )
    def call(x, value):
        return layer(x, **{name: value})[0]

    x = KINDS["lru"].inputs()
    expected = layer(x, **{name: value})[0]
    assert_close([numpy_of(call(x, value))], [numpy_of(expected)])
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"`{name}` must have the"):
        call(x, value[: shape[0], : shape[1]])
