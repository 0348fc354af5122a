"""The benchmarks' own arithmetic, and one case all the way through."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def benchmarks():
    """The package at the root of the repository, which is not installed."""
    sys.path.insert(0, str(ROOT))
    import benchmarks.chart
    import benchmarks.layer_cases
    import benchmarks.peers
    import benchmarks.registry
    import benchmarks.runner

    yield benchmarks
    sys.path.remove(str(ROOT))


def test_every_formulation_agrees_with_the_float64_loop(benchmarks):
    functions = benchmarks.peers.formulations()
    # Checked before it is timed.
    candidates = benchmarks.layer_cases.layer_candidates(2, 37, 4, 6, False, functions)
    assert candidates.keys() == functions.keys()
    assert all(c.first_call > 0 for c in candidates.values())


def test_a_wrong_formulation_is_not_timed(benchmarks):
    wrong = {"wrong": lambda w, u: 1.01 * benchmarks.peers.library()(w, u)}
    with pytest.raises(ValueError, match="wrong is wrong: relative error 1"):
        benchmarks.layer_cases.layer_candidates(2, 37, 4, 6, False, wrong)


def test_a_case_from_build_to_chart(benchmarks, tmp_path, capsys):
    registry = benchmarks.registry

    def build():
        ready = benchmarks.layer_cases.layer_candidates(
            2, 37, 4, 6, True, {"a": benchmarks.peers.library()}
        )
        return {"a, length 37": ready["a"], "slow": ready["a"]}

    case = registry.Case(
        "tiny",
        build,
        [
            registry.Target("a, length 37", "slow", 1e6),
            registry.Target("a, length 37", "slow", 1e-6),
            registry.Target("a, length 37", None, 1e-6),
        ],
        tokens=74,
    )
    result = benchmarks.runner.run_case(case, rounds=3)
    assert [t["met"] for t in result["targets"]] == [True, False, False]
    assert capsys.readouterr().out.count("MISSED") == 2
    report = {"results": [result], "backend": "b", "suite": "s"}
    assert json.loads(json.dumps(report)) == report
    picture = benchmarks.chart.draw(report, tmp_path / "chart.png")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert benchmarks.chart.draw({"results": []}, tmp_path / "none.png") is None


def test_ratio_is_taken_within_rounds(benchmarks):
    seconds = {"a": np.array([1.0, 2.0, 3.0]), "b": np.array([2.0, 4.0, 6.0])}
    assert benchmarks.runner.ratio(seconds, "a", "b") == [0.5, 0.5, 0.5]


def test_suites_have_cases(benchmarks):
    for suite in ("cpu", "gpu", "input"):
        names = [case.name for case in benchmarks.registry.cases(suite)]
        assert len(names) == len(set(names)) > 5


@pytest.mark.slow
@pytest.mark.parametrize("task", ["smnist", "retrieval"])
def test_input_is_timed_beside_a_training_step(benchmarks, task):
    from benchmarks.input_cases import input_candidates
    from keras_lru.experiments import get_preset

    preset = dataclasses.replace(get_preset(task, "tiny"), depth=1, batch_size=4)
    candidates = input_candidates(preset, 2)
    assert list(candidates) == ["20 batches", "training step"]
    for candidate in candidates.values():
        assert candidate.first_call > 0
        candidate()


@pytest.mark.slow
def test_command_line(tmp_path):
    backend = keras.backend.backend()
    process = subprocess.run(
        [
            *(sys.executable, "-m", "benchmarks", "--backend", backend),
            *("--only", "streaming", "--rounds", "2", "--output-dir", tmp_path),
        ],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    assert "LRUCell(128) / LSTMCell(128)" in process.stdout
    report = json.loads((tmp_path / f"cpu-{backend}.json").read_text())
    assert report["machine"]["cores"] == os.cpu_count()


def test_wrong_arguments_are_refused():
    for arguments in (["--rounds", "0"], ["--suite", "tpu-aot"]):
        process = subprocess.run(
            [sys.executable, "-m", "benchmarks", "--backend", "tensorflow", *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert process.returncode == 2
        assert arguments[0] in process.stderr
