"""The benchmarks' own arithmetic, and one case all the way through."""

import ast
import dataclasses
import graphlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def run(*arguments, **environment):
    """Runs `python -m benchmarks` with these variables, None for those unset."""
    variables = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *map(str, arguments)],
        cwd=ROOT,
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def benchmarks():
    """The package at the root of the repository, which is not installed."""
    sys.path.insert(0, str(ROOT))
    import benchmarks.chart
    import benchmarks.layer_cases
    import benchmarks.peers
    import benchmarks.registry
    import benchmarks.runner
    import benchmarks.suites

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
    assert set(benchmarks.suites.MODULES) == {"cpu", "gpu", "input"}
    for suite in benchmarks.suites.MODULES:
        names = [case.name for case in benchmarks.suites.cases(suite)]
        assert len(names) == len(set(names)) > 5


def test_imports_run_one_way():
    imported = {}
    for path in (ROOT / "benchmarks").glob("*.py"):
        nodes = list(ast.walk(ast.parse(path.read_text())))
        names = imported[path.stem] = set()
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and node.module == "benchmarks":
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                package, _, name = (node.module or "").partition(".")
                names |= {name} if package == "benchmarks" else set()
    assert "registry" in imported["layer_cases"]
    # Raises an error that shows the circle if there is one.
    graphlib.TopologicalSorter(imported).prepare()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("task", "shorter"),
    [("smnist", {"downsample": 4}), ("retrieval", {"max_length": 64})],
    ids=["smnist", "retrieval"],
)
def test_input_is_timed_beside_a_training_step(benchmarks, task, shorter):
    from benchmarks.input_cases import input_candidates
    from keras_lru.experiments import get_preset

    small = {"depth": 1, "units": 8, "state_size": 8, "batch_size": 4}
    preset = dataclasses.replace(get_preset(task, "tiny"), **small, **shorter)
    candidates = input_candidates(preset, 2)
    assert list(candidates) == ["20 batches", "training step"]
    for candidate in candidates.values():
        assert candidate.first_call > 0
        candidate()


@pytest.mark.slow
def test_command_line(tmp_path, backend):
    other = {"jax": "tensorflow", "tensorflow": "jax"}[backend]
    words = ["--only", "streaming", "--rounds", 2, "--output-dir", tmp_path]
    # What is given on the command line overrides the variable.
    process = run("--backend", backend, *words, KERAS_BACKEND=other)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"Backend: {backend}\n")
    assert "LRUCell(128) / LSTMCell(128)" in process.stdout
    report = json.loads((tmp_path / f"cpu-{backend}.json").read_text())
    assert report["machine"]["cores"] == os.cpu_count()


@pytest.fixture
def asked_for(tmp_path):
    """A function that runs the command up to the import of Keras.

    It returns what is in KERAS_BACKEND then, or "None".
    """
    (tmp_path / "keras.py").write_text(
        "import os, sys\nprint(os.environ.get('KERAS_BACKEND'))\nsys.exit()\n"
    )

    def ask(*arguments, backend=None):
        process = run(*arguments, KERAS_BACKEND=backend, PYTHONPATH=str(tmp_path))
        assert process.returncode == 0, process.stderr
        return process.stdout.strip()

    return ask


def test_the_backend_is_keras_s_choice_unless_it_is_given(asked_for):
    assert asked_for() == "None"
    assert asked_for(backend="tensorflow") == "tensorflow"
    assert asked_for("--backend", "jax", backend="tensorflow") == "jax"


def test_tpu_aot_takes_jax_where_nobody_chose(asked_for):
    assert asked_for("--suite", "tpu-aot") == "jax"
    assert asked_for("--suite", "tpu-aot", "--backend", "jax") == "jax"


def test_wrong_arguments_are_refused():
    for arguments, variable, message in (
        (["--rounds", "0"], None, "--rounds must be at least 1. Received: 0"),
        (["--backend", "numpy"], None, "invalid choice: 'numpy'"),
        (
            ["--suite", "tpu-aot", "--backend", "tensorflow"],
            "jax",
            "--suite tpu-aot compiles with JAX: choose it with --backend jax. "
            "Received: --backend tensorflow",
        ),
        (["--suite", "tpu-aot"], "tensorflow", "Received: KERAS_BACKEND=tensorflow"),
    ):
        process = run(*arguments, KERAS_BACKEND=variable)
        assert process.returncode == 2
        assert message in process.stderr
