"""The recurrences that docs/contributing.md shows how to add, by the common tests."""

import functools
import pathlib
import re

import numpy as np
import pytest

from keras_lru.ops import naive

from . import (
    test_bad_input,
    test_cells,
    test_keras_contract,
    test_masks,
    test_numbers,
    test_states,
)
from .kinds import Kind

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "contributing.md"


@functools.cache
def documented():
    """The names that the page's blocks define."""
    names = {"__name__": "documented"}
    section = PAGE.read_text().split("## Add a recurrence")[1].split("\n## ")[0]
    for block in re.findall(r"```python\n(.*?)```", section, re.S):
        exec(compile(block, str(PAGE), "exec"), names)
    return names


def decay(cell, weights, x, states=None, mask=None):
    eigenvalues = np.full(cell.units, 0.5 ** (1 / cell.half_life))
    start = None if states is None else states[0] + 1j * np.asarray(states[1])
    y, last = naive.diagonal_ssm(
        x, eigenvalues, weights["B"], np.eye(cell.units), None, start, mask
    )
    return y, [last.real, last.imag]


def forget(cell, weights, x, states=None, mask=None):
    x = np.asarray(x, "float64")
    h = np.zeros((len(x), cell.units)) + (0 if states is None else states[0])
    y, outputs = np.zeros_like(h), np.zeros((*x.shape[:2], cell.units))
    for t in range(x.shape[1]):
        f = 1 / (1 + np.exp(-x[:, t] @ weights["W"]))
        runs = np.ones(len(x), bool) if mask is None else mask[:, t]
        h = np.where(runs[:, None], (1 - f) * h + f * x[:, t], h)
        outputs[:, t] = y = np.where(runs[:, None], h, y)
    return outputs, [h]


def kind_of(name, layer, sizes, state_names, weight, loop, options, **facts):
    """A `Kind` of a recurrence with one weight."""
    units = sizes["units"]
    features = facts.pop("features")
    return Kind(
        name,
        documented()[layer],
        documented()[f"{layer}Cell"],
        sizes=sizes,
        features=features,
        state_names=state_names,
        num_states=units,
        shapes={weight: (features, units)},
        recurrent=(weight,),
        groups={},
        fixed=(),
        solver_options=options,
        slow={},
        kept=1.0,
        wide={},
        loop=loop,
        **facts,
    )


@functools.cache
def kind(name):
    """The documented kinds by name."""
    if name == "decay":
        return kind_of(
            name,
            "Decay",
            {"units": 3, "half_life": 2.0},
            ("x_re", "x_im"),
            "B",
            decay,
            ("scan", "block_size"),
            features=2,
        )
    return kind_of(
        name,
        "Forget",
        {"units": 3},
        ("h",),
        "W",
        forget,
        ("scan",),
        features=3,
        state_is_output=True,
    )


COMMON = [
    test_numbers.test_gradients_of_outputs_and_states_under_every_mask,
    test_masks.test_masks_of_any_type,
    test_masks.test_mask_over_no_steps,
    test_states.test_stateful_layer_called_in_pieces,
    test_cells.test_steps_give_the_whole_sequence,
    test_bad_input.test_initial_state_that_is_no_list_of_tensors,
    test_bad_input.test_unknown_features,
    test_keras_contract.test_seed_makes_weights_reproducible,
    test_keras_contract.test_the_optimizer_treats_recurrent_weights_apart,
    test_keras_contract.test_order_paths_and_shapes_of_the_weights,
]


@pytest.mark.parametrize("name", ["decay", "forget"])
@pytest.mark.parametrize("test", COMMON, ids=lambda test: test.__name__)
def test_it_passes_what_all_recurrences_pass(name, test):
    test(kind(name))
