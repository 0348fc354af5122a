"""Outputs, states and gradients of every recurrence against its float64 loop."""

import numpy as np
import pytest

from ..scans import SCANS
from .kinds import each_algorithm, each_kind
from .sequences import BATCH, CLOSE, MASKS, assert_close, dtype_of, numpy_of

EITHER = [True, False]


@pytest.mark.parametrize("kind", each_algorithm())
def test_gradients_of_outputs_and_states_under_every_mask(kind):
    solver = kind.solver(return_sequences=True)
    for name, mask in MASKS.items():
        of = ("all", "outputs", "states") if name == "holes" else ("all",)
        kind.check_gradients(solver, kind.inputs(), kind.states(), mask, of)


# The path of S5 is that of the LRU.
@pytest.mark.parametrize(
    "kind",
    each_algorithm(fast=["lru", "s4d", "dense_rnn", "rg_lru"], solved=["lru"]),
)
def test_gradients_of_the_last_output(kind):
    solver = kind.solver(return_sequences=False)
    kind.check_gradients(solver, kind.inputs())


@pytest.mark.parametrize(
    ("kind", "return_sequences", "has_state"),
    each_kind(EITHER, EITHER, others=[(True, True)], fast=[("lru", True, True)]),
)
def test_gradients_without_a_mask(kind, return_sequences, has_state):
    solver = kind.solver(return_sequences=return_sequences)
    states = kind.states() if has_state else None
    kind.check_gradients(solver, kind.inputs(), states)


@pytest.mark.parametrize(
    ("kind", "has_state"), each_kind(EITHER, others=[True], fast=[("lru", True)])
)
def test_gradients_of_the_last_output_under_every_mask(kind, has_state):
    solver = kind.solver(return_sequences=False)
    for mask in MASKS.values():
        states = kind.states() if has_state else None
        kind.check_gradients(solver, kind.inputs(), states, mask)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_gradients_backwards_from_the_zero_state_under_masks(kind):
    solver = kind.solver(
        return_sequences=True, zero_output_for_mask=True, go_backwards=True
    )
    for name in ("right", "left", "holes"):
        kind.check_gradients(solver, kind.inputs(), mask=MASKS[name])


@pytest.mark.parametrize(
    ("kind", "go_backwards", "return_sequences"),
    each_kind(
        EITHER,
        EITHER,
        others=[(True, True), (True, False)],
        fast=[("lru", True, True)],
    ),
)
def test_directions(kind, go_backwards, return_sequences):
    solver = kind.solver(go_backwards=go_backwards, return_sequences=return_sequences)
    kind.check(solver, kind.inputs())
    kind.check(solver, kind.inputs(), kind.states())


@pytest.mark.parametrize(
    ("kind", "time", "return_sequences"),
    each_kind(
        # Around the blocks of 64 steps of S4D, too.
        [0, 1, 2, 3, 65, 130],
        EITHER,
        others=[
            *[(time, True) for time in (0, 1, 65)],
            *[(time, False) for time in (0, 1, 130)],
        ],
        fast=[
            ("lru", 0, True),
            ("lru", 0, False),
            ("lru", 1, False),
            ("lru", 65, True),
            ("s4d", 65, True),
            ("dense_rnn", 0, True),
            ("dense_rnn", 1, False),
            ("rg_lru", 0, True),
            ("rg_lru", 1, False),
        ],
    ),
)
def test_lengths(kind, time, return_sequences):
    solver = kind.solver(return_sequences=return_sequences)
    kind.check(solver, kind.inputs(time), kind.states())


@pytest.mark.parametrize(
    ("kind", "scan", "block_size"),
    [
        *each_kind(
            SCANS,
            ["auto", 1, 2, 3, 100],
            names=["lru"],
            fast=[
                ("lru", "sequential", 100),
                ("lru", "chunked", 1),
                ("lru", "associative", 3),
            ],
        ),
        *each_kind(
            SCANS,
            ["auto"],
            names=["rg_lru"],
            fast=[("rg_lru", "associative", "auto")],
        ),
        *each_kind(
            SCANS,
            [1, 3, 100],
            names=["s4d"],
            others=[("sequential", 100), ("chunked", 1), ("associative", 3)],
            fast=[],
        ),
    ],
)
def test_algorithms_give_the_same_numbers(kind, scan, block_size):
    kind = kind.solved_by(scan, block_size)
    solver = kind.solver(return_sequences=True)
    for mask in ("nothing", "right", "holes"):
        kind.check_gradients(solver, kind.inputs(), kind.states(), MASKS[mask])


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_integer_boolean_and_float64_inputs_are_cast(kind):
    layer = kind.make()
    x = np.arange(kind.inputs().size).reshape(kind.inputs().shape) % 7
    expected = numpy_of(layer(x.astype("float32")))
    for dtype in ("int32", "float64"):
        y = layer(x.astype(dtype))
        assert dtype_of(y) == "float32"
        np.testing.assert_array_equal(numpy_of(y), expected)
    y = layer(x.astype("bool"))
    assert dtype_of(y) == "float32"
    assert_close(y, layer((x != 0).astype("float32")))


@pytest.mark.parametrize(
    ("kind", "go_backwards"),
    each_kind(EITHER, others=[False], fast=[("lru", True), ("s4d", False)]),
)
def test_nan_in_one_sequence_stays_there(kind, go_backwards):
    solver = kind.solver(return_sequences=True, go_backwards=go_backwards)
    x = kind.inputs()
    bad = x.copy()
    bad[1, 3] = np.nan
    for clean, dirty in zip(solver(x), solver(bad), strict=True):
        assert np.isnan(dirty[1]).any()
        others = np.arange(BATCH) != 1
        np.testing.assert_allclose(dirty[others], clean[others], **CLOSE)
