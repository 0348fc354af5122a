"""The comparison of accuracies: its tasks, its table, and what it keeps."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def accuracy():
    """The package at the root of the repository, which is not installed."""
    sys.path.insert(0, str(ROOT))
    import benchmarks.accuracy.__main__
    import benchmarks.accuracy.by_length
    import benchmarks.accuracy.candidates
    import benchmarks.accuracy.table
    import benchmarks.accuracy.tasks
    import benchmarks.accuracy.trial

    yield benchmarks.accuracy
    sys.path.remove(str(ROOT))


def result(candidate, task, seed, score, measure="accuracy"):
    return {
        "candidate": candidate,
        "task": task,
        "seed": seed,
        "score": score,
        "measure": measure,
    }


RESULTS = [
    result("a", "digits", 0, 90.0),
    result("a", "digits", 1, 92.0),
    result("b", "digits", 0, 95.0),
    result("a", "CO2", 0, 0.05, "MAE"),
    result("b", "CO2", 0, 0.06, "MAE"),
    # Of two results of one seed the later counts.
    result("a", "digits", 1, 94.0),
]


def test_the_table_has_means_and_deviations(accuracy):
    lines = accuracy.table.markdown(RESULTS).splitlines()
    assert lines[0] == "| | digits, accuracy | CO2, MAE |"
    assert lines[2] == "| a | 92.0 ± 2.8 | 0.0500 |"
    assert lines[3] == "| b | 95.0 | 0.0600 |"


def test_who_loses_by_more_than_a_deviation_is_named(accuracy):
    assert accuracy.table.losses(RESULTS, "a", ["b"]) == [
        "digits: a behind b by 3 accuracy"
    ]
    # A smaller error is better.
    assert accuracy.table.losses(RESULTS, "b", ["a"]) == ["CO2: b behind a by 0.01 MAE"]


def test_results_outlive_a_line_that_was_cut_off(accuracy, tmp_path):
    module = sys.modules["benchmarks.accuracy.__main__"]
    path = tmp_path / "results" / "accuracy.jsonl"
    module.append(path, RESULTS[0])
    path.write_text(path.read_text() + json.dumps(RESULTS[1])[:20])
    module.append(path, RESULTS[2])
    assert module.read(path) == [RESULTS[0], RESULTS[2]]


def test_unknown_names_are_refused(accuracy):
    module = sys.modules["benchmarks.accuracy.__main__"]
    with pytest.raises(SystemExit, match=r"--tasks must be among .*\['mnits'\]"):
        module.chosen("tasks", ["mnits"], accuracy.tasks.TASKS)


def test_accuracy_by_length_is_drawn(accuracy, tmp_path):
    results = [result("LSTM", name, 0, 80.0) for name in accuracy.tasks.LENGTHS]
    times = [{"task": r["task"], "candidate": "LSTM", "step_ms": 1.0} for r in results]
    results += RESULTS[3:5]
    path = accuracy.by_length.draw(results, times, tmp_path / "lengths.png")
    assert path.stat().st_size > 10_000


def small_task(accuracy, kind):
    rng = np.random.default_rng(0)
    if kind == "class":
        x = rng.normal(size=(6, 5, 2)).astype("float32")
        data = (x, np.arange(6) % 3, np.arange(5) < rng.integers(1, 6, (6, 1)))
        return accuracy.tasks.Task(kind, data, data, 3, 3, 1)
    if kind == "tokens":
        x = rng.integers(0, 7, (6, 5), dtype="int32")
        data = (x, x[:, -2:], None)
        options = {"vocabulary_size": 7, "answer_steps": 2, "measure": "bits"}
        return accuracy.tasks.Task(kind, data, data, 7, 3, 1, **options)
    series = rng.normal(size=(20, 1)).astype("float32")
    data = (series[None, :12].repeat(6, 0), series[None, 12:16].repeat(6, 0), None)
    return accuracy.tasks.Task(kind, data, data, 4, 3, 1, series=series, measure="MAE")


@pytest.mark.slow
def test_training_steps_are_timed_at_each_length(accuracy, monkeypatch):
    shortest = "digits, 64 steps"
    lengths = {shortest: accuracy.tasks.LENGTHS[shortest]}
    monkeypatch.setattr(accuracy.by_length, "LENGTHS", lengths)
    found = accuracy.by_length.time_steps(["LRUBlock"], rounds=1)
    assert [(x["task"], x["candidate"]) for x in found] == [(shortest, "LRUBlock")]
    assert found[0]["step_ms"] > 0


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["class", "tokens", "forecast"])
def test_candidates_train_on_every_kind_of_task(accuracy, monkeypatch, kind):
    task = small_task(accuracy, kind)
    monkeypatch.setitem(accuracy.trial.TASKS, "small", lambda: task)
    # What is made apart for each kind: layers in a stack, blocks, the model class.
    for candidate in ("LSTM", "LRUBlock", "model", "Adam"):
        found = accuracy.trial.run("small", candidate, seed=0)
        assert np.isfinite(found["score"]), candidate
        assert (found["steps"], found["measure"]) == (2, task.measure)
        assert found["backend"] == keras.backend.backend()


def test_tasks_of_packages_that_tests_have(accuracy):
    digits = accuracy.tasks.TASKS["digits"]()
    assert digits.train[0].shape == (1437, 64, 1)
    assert digits.total_steps == 15 * 29
    larger = accuracy.tasks.LENGTHS["digits, 256 steps"]()
    assert larger.train[0].shape == (1437, 256, 1)
    # Twice the pixels of a row and of a column, drawn between those there were.
    means = larger.train[0].reshape(-1, 8, 2, 8, 2).mean((2, 4)).reshape(-1, 64)
    assert np.abs(means - digits.train[0][..., 0]).mean() < 0.3
    copied = accuracy.tasks.TASKS["copy"]()
    inputs, answers, _ = copied.test
    np.testing.assert_array_equal(inputs[:, :10], answers)
