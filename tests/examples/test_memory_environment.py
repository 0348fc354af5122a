"""The example of a policy with a memory: its environments, its rows, its figures."""

import importlib
import re

import numpy as np
import pytest

from tests.examples.running import EXAMPLES, run_here, run_process


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("memory_environment")


def test_the_right_way_is_that_of_the_first_sign(example):
    seen, best, reward, begins = example.roll_out(5, 300, ways=3, seed=0)
    assert seen.shape == (5, 300, 5)
    assert begins[:, 0].all()
    np.testing.assert_array_equal(seen[..., 3], begins)
    np.testing.assert_array_equal(seen[..., 4], reward)
    # Where a fork is passed the next episode begins.
    np.testing.assert_array_equal(reward[:, :-1], begins[:, 1:])
    signs = seen[..., :3].argmax(-1)
    for row in range(5):
        starts = np.flatnonzero(begins[row])
        lengths = np.diff(starts)
        assert example.SHORTEST <= lengths.min() < lengths.max() <= example.LONGEST
        for start, end in zip(starts, [*starts[1:], 300], strict=True):
            assert (best[row, start:end] == signs[row, start]).all()


def test_the_wrong_way_is_not_rewarded(example):
    mazes = example.Mazes(20, ways=2, seed=0)
    for _ in range(example.LONGEST):
        reward, _ = mazes.act(1 - mazes.first_sign)
        assert not reward.any()


def test_episodes_are_cut_out_and_put_back(example):
    seen, _, reward, begins = example.roll_out(3, 100, ways=2, seed=0)
    rows = example.cut_out(seen, begins)
    assert rows.shape == (begins.sum(), example.LONGEST, 4)
    assert rows[:, 0, 2].all()
    assert not rows[:, 1:, 2].any()
    assert example.cut_out(reward, begins).sum() == reward.sum()
    np.testing.assert_array_equal(example.put_back(rows, begins), seen)


@pytest.mark.slow
def test_a_reset_is_learned_with_and_compared(monkeypatch, capsys, tmp_path):
    sizes = ["--rollouts", 256, "--length", 64, "--ways", 2, "--epochs", 12]
    options = [*sizes, "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "memory_environment.py", *options)
    right = {
        name.strip(): float(share)
        for name, share in re.findall(
            r"^(.+?) +([\d.]+) % of the forks", capsys.readouterr().out, re.MULTILINE
        )
    }
    assert list(right) == [
        "LRU, reset",
        "LRU, no reset",
        "GRU, episodes cut out",
        "GRU, no reset",
    ]
    # Of two ways half are right by chance.
    assert right["LRU, reset"] > 90
    assert (tmp_path / "memory_environment.png").read_bytes().startswith(b"\x89PNG")


def test_a_rollout_shorter_than_an_episode_is_refused():
    process = run_process(EXAMPLES / "memory_environment.py", "--length", 63)
    assert process.returncode == 2
    assert "--length must be at least 64. Received: 63" in process.stderr
