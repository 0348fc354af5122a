"""The suite of learning online, at small sizes."""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def online(monkeypatch):
    """The suite, from the package at the root, with fewer steps and trials."""
    monkeypatch.syspath_prepend(str(ROOT))
    from benchmarks import online

    small = {
        "_STEPS_A_ROUND": 4,
        "_PIECE": 2,
        "_LONG": 6,
        "_MARKS": (2, 6),
        "_WAIT": 2,
        "_TRIALS": 6,
    }
    for name, value in small.items():
        monkeypatch.setattr(online, name, value)
    return online


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="resident memory of Linux")
def test_the_suite_measures_steps_memory_and_the_copy_task(online):
    rows = online.run("", 1)
    steps = [row for row in rows if "steps_per_s" in row]
    # 2 numbers of 128 states, with their derivatives by λ and by B of 64 inputs.
    sizes = {2 * 128 * 66 * 4 * batch / 1e3 for batch in (1, 16)}
    assert {row["carried_kb"] for row in steps} == sizes
    assert [row["candidate"] for row in rows if "resident_mb" in row] == [
        "after 2 steps",
        "after 6 steps",
    ]
    copies = [row for row in rows if "right" in row]
    assert len(copies) == 12
    assert all(0 <= row["right"] <= 1 for row in copies)
