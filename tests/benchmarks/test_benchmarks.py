"""The benchmarks' own arithmetic, and one case all the way through."""

import ast
import dataclasses
import graphlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import keras
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
    import benchmarks.compiled
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


def test_suites_have_cases(benchmarks, backend):
    assert set(benchmarks.suites.MODULES) == {"cpu", "gpu", "time", "input"}
    for suite in benchmarks.suites.MODULES:
        names = [case.name for case in benchmarks.suites.cases(suite)]
        assert len(names) == len(set(names)) > 4
        if suite == "gpu" and backend == "jax":
            assert names[0] == "error against float64, (2, 2048, 128, 256)"
            assert names[1].startswith("beside its peers")


def test_no_round_begins_after_the_time_but_the_first_two(benchmarks):
    def ready():
        time.sleep(0.01)

    def rounds(until):
        seconds = benchmarks.runner.time_interleaved({"a": ready}, 5, "", until)
        return len(seconds["a"])

    assert rounds(None) == 5
    assert rounds(time.perf_counter() - 1) == 1
    assert rounds(time.perf_counter() + 60) == 5


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="gradient by JAX alone")
def test_the_float64_gradient_is_that_of_the_layer(benchmarks):
    from benchmarks import compiled, gpu_cases, peers

    weights = peers.make_weights(4, 6, 4)
    inputs = benchmarks.layer_cases.make_inputs(2, 37, 4)
    expected = peers.reference_gradient(weights, inputs)
    assert all(x.dtype == "float64" for x in keras.tree.flatten(expected))
    functions = {"a": peers.library(), "b": peers.library("associative", 4)}
    for candidate in compiled.compile_gradients(functions, weights, inputs).values():
        # Float32's rounding over 37 steps of |λ| < 1.
        assert gpu_cases._error(candidate.call(), expected) < 1e-5


PROGRAM = """HloModule jit_f, entry_computation_layout={(f32[8,4]{1,0})->f32[8,4]{1,0}}

%fused (p: f32[8,4]) -> f32[8,4] {
  %p = f32[8,4]{1,0} parameter(0)
  ROOT %n = f32[8,4]{1,0} negate(%p)
}

ENTRY %main (x: f32[8,4], w: f32[4,2]) -> f32[8,2] {
  %x = f32[8,4]{1,0} parameter(0)
  %w = f32[4,2]{1,0} parameter(1)
  %a = f32[8,4]{1,0} fusion(%x), kind=kLoop, calls=%fused
  %t = (s32[], f32[8,4]{1,0}) tuple(%c, %a)
  %l = (s32[], f32[8,4]{1,0}) while(%t), condition=%cond, body=%body
  %g = f32[8,4]{1,0} get-tuple-element(%l), index=1
  ROOT %d = (f32[8,2]{1,0}, s8[4096]{0}) custom-call(%g, %w), custom_call_target="x"
}
"""


def test_kernels_and_bytes_of_a_compiled_program(benchmarks):
    from benchmarks.gpu import read_program

    # The fusion reads and writes 8·4 floats; the product reads 8·4 and 4·2, writes 8·2.
    moved = 4 * (2 * 32 + 32 + 8 + 16) / 1e6
    expected = {"kernels": 2, "loops": 1, "MB moved": pytest.approx(moved)}
    assert read_program(PROGRAM) == expected


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
    other = "jax" if backend == "tensorflow" else "tensorflow"
    words = ["--only", "streaming", "--rounds", 2, "--output-dir", tmp_path]
    # What is given on the command line overrides the variable.
    process = run("--backend", backend, *words, KERAS_BACKEND=other)
    assert process.returncode == 0, process.stderr
    assert process.stdout.startswith(f"Backend: {backend}\n")
    assert "LRUCell(128) / LSTMCell(128)" in process.stdout
    report = json.loads((tmp_path / f"cpu-{backend}.json").read_text())
    assert report["machine"]["cores"] == os.cpu_count()


@pytest.mark.slow
def test_a_rehearsal_ends_in_time_and_keeps_what_it_has(tmp_path, backend):
    words = ["--suite", "gpu", "--smoke", "--output-dir", tmp_path]
    process = run("--backend", backend, *words, "--only", "masks")
    assert process.returncode == 0, process.stderr
    path = tmp_path / f"gpu-{backend}-smoke.json"
    (result,) = json.loads(path.read_text())["results"]
    assert result["case"] == "masks, LRU(8, 16) on (2, 32, 8), forward + backward"
    assert result["targets"] == []
    path.unlink()
    start = time.perf_counter()
    process = run("--backend", backend, *words, "--budget", 30)
    # Beside Python's start, which may come under load.
    assert time.perf_counter() - start < 60
    assert process.returncode == 0, process.stderr
    assert "The time is over" in process.stdout
    assert json.loads(path.read_text())["results"]


def test_a_case_that_fails_does_not_stop_the_others(
    benchmarks, tmp_path, monkeypatch, capsys
):
    from argparse import Namespace

    from benchmarks import __main__ as command

    def fail():
        raise RuntimeError("out of memory")

    def build():
        return {"a": benchmarks.compiled.started(lambda: None)}

    cases = [
        benchmarks.registry.Case("bad", fail),
        benchmarks.registry.Case("b", build),
    ]
    monkeypatch.setattr(benchmarks.suites, "cases", lambda suite: cases)
    args = Namespace(suite="gpu", only="", smoke=False, budget=None, rounds=2)
    report = {}
    command._run_cases(args, report, tmp_path / "report.json")
    assert json.loads((tmp_path / "report.json").read_text()) == report
    assert [result["case"] for result in report["results"]] == ["b"]
    expected = [{"case": "bad", "error": "RuntimeError('out of memory')"}]
    assert report["failed"] == expected
    assert "bad: FAILED, RuntimeError('out of memory')" in capsys.readouterr().out


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


@pytest.mark.parametrize("suite", ["tpu-aot", "gpu-aot", "distributed"])
def test_compiling_ahead_of_time_takes_jax_where_nobody_chose(asked_for, suite):
    assert asked_for("--suite", suite) == "jax"
    assert asked_for("--suite", suite, "--backend", "jax") == "jax"


def test_wrong_arguments_are_refused():
    for arguments, variable, message in (
        (["--rounds", "0"], None, "--rounds must be at least 1. Received: 0"),
        (["--budget", "0"], None, "--budget must be above 0. Received: 0.0"),
        (
            ["--suite", "tpu-aot", "--smoke"],
            None,
            "--smoke and --budget are for cpu, gpu and time. Received: --suite tpu-aot",
        ),
        (["--backend", "numpy"], None, "invalid choice: 'numpy'"),
        (
            ["--suite", "tpu-aot", "--backend", "tensorflow"],
            "jax",
            "--suite tpu-aot compiles with JAX: choose it with --backend jax. "
            "Received: --backend tensorflow",
        ),
        (["--suite", "tpu-aot"], "tensorflow", "Received: KERAS_BACKEND=tensorflow"),
        (
            ["--suite", "distributed", "--backend", "torch"],
            None,
            "--suite distributed compiles with JAX: choose it with --backend jax. ",
        ),
    ):
        process = run(*arguments, KERAS_BACKEND=variable)
        assert process.returncode == 2
        assert message in process.stderr


@pytest.mark.slow
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="compiles with JAX")
def test_devices_exchange_what_the_formula_says(tmp_path):
    process = run(
        *("--suite", "distributed", "--only", "RGLRU blocks, both"),
        *("--output-dir", tmp_path),
    )
    assert process.returncode == 0, process.stderr
    report = json.loads((tmp_path / "distributed-jax.json").read_text())
    (row,) = report["results"]
    assert row["ends, bytes"] == row["formula, bytes"] > 0
