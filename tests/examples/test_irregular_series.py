"""The example of a pendulum seen at irregular times: its physics and its figures."""

import importlib
import re

import numpy as np
import pytest

from tests.examples.running import EXAMPLES, run_here


@pytest.fixture
def example(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("irregular_series")


def test_pendulums_swing_as_they_do(example, monkeypatch):
    monkeypatch.setattr(example, "DAMPING", 0.0)
    small = np.array([[1e-3, 0.0], [0.0, 1e-3]])
    found = example.swing(small, np.array([1.0, 2.0]))
    angles, speeds = [np.cos(1), np.sin(2)], [-np.sin(1), np.cos(2)]
    np.testing.assert_allclose(found, 1e-3 * np.array([angles, speeds]), atol=1e-7)
    # Far out they keep their energy.
    state = np.array([[2.0], [0.5]])
    later = example.swing(state, np.array([1.5]))
    energy = [speed**2 / 2 - np.cos(angle) for angle, speed in (state, later)]
    np.testing.assert_allclose(*energy, atol=1e-3)


def test_frames_are_noisy_or_show_nothing(example):
    gaps, frames, truth = example.irregular(200, 50, seed=0)
    assert gaps.min() >= 0.05
    assert gaps.mean() == pytest.approx(1, abs=0.05)
    seen = frames[..., 2] > 0
    assert seen.mean() == pytest.approx(example.SEEN, abs=0.02)
    assert not frames[~seen].any()
    noise = (frames - truth)[seen][:, :2]
    assert noise.std() == pytest.approx(example.NOISE, abs=0.02)
    np.testing.assert_allclose((truth[..., :2] ** 2).sum(-1), 1, atol=1e-5)


def test_time_without_anything_seen_adds_up(example):
    gaps = np.float32([[1, 2, 3, 4]])
    frames = np.zeros((1, 4, 3), "float32")
    frames[0, [0, 3], 2] = 1
    np.testing.assert_array_equal(example.since_seen(gaps, frames), [[0, 2, 5, 0]])


@pytest.mark.slow
def test_times_as_sizes_and_as_a_feature(monkeypatch, capsys, tmp_path):
    sizes = ["--series", 256, "--frames", 40, "--epochs", 8]
    options = [*sizes, "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "irregular_series.py", *options)
    errors = {
        name.strip(): float(error)
        for name, error in re.findall(
            r"^([LG]RU, .+?) +(\d\.\d+)", capsys.readouterr().out, re.MULTILINE
        )
    }
    assert len(errors) == 8
    assert errors["LRU, step_sizes"] < errors["LRU, a feature"]
    assert errors["LRU, all frames, rate=0.5"] < errors["LRU, all frames"]
    assert (tmp_path / "irregular_series.png").read_bytes().startswith(b"\x89PNG")
