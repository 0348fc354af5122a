"""The examples for one's own data: they run, compare, and leave what they say."""

import re

import keras
import numpy as np
import pytest

from tests.examples.running import EXAMPLES, run_here, run_process

PNG = b"\x89PNG"


@pytest.mark.slow
def test_language_model_trains_writes_and_compares(monkeypatch, capsys, tmp_path):
    sizes = ["--pieces", 60, "--epochs", 1, "--depth", 1, "--units", 16]
    options = ["--characters", 30, "--beside", "gru", "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "language_model.py", *sizes, *options)
    output = capsys.readouterr().out
    for kind in ("LRU", "GRU"):
        # Before training a character has log2 128 = 7 bits.
        bits = re.search(rf"^{kind} +([\d.]+) bits a character", output, re.MULTILINE)
        assert 3 < float(bits[1]) < 7.5
    assert len((tmp_path / "written.txt").read_text()) == len("def ") + 30
    assert (tmp_path / "language_model.png").read_bytes().startswith(PNG)
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model.generate([100, 101, 102], 2).shape == (2,)


@pytest.mark.slow
def test_forecast_compares_with_the_last_year(monkeypatch, capsys, tmp_path):
    pytest.importorskip("statsmodels")
    options = ["--epochs", 2, "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "forecast.py", *options)
    errors = {
        name.strip(): float(error)
        for name, error in re.findall(
            r"^(.+?) +mean absolute error ([\d.]+) ppm",
            capsys.readouterr().out,
            re.MULTILINE,
        )
    }
    # Two epochs of fifteen are enough to beat the last year, not its rise.
    assert errors["LRU"] < errors["last year"]
    assert errors["last year and its rise"] < errors["last year"]
    assert (tmp_path / "forecast.png").read_bytes().startswith(PNG)
    assert (tmp_path / "saved_model" / "saved_model.pb").exists()
    model = keras.saving.load_model(tmp_path / "model.keras")
    assert model(np.full((1, 104, 1), 350.0, "float32")).shape == (1, 26, 1)


@pytest.mark.slow
def test_alarm_rings_where_something_is_wrong(monkeypatch, capsys, tmp_path):
    pytest.importorskip("aeon")
    options = ["--epochs", 8, "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "alarm.py", *options)
    output = capsys.readouterr().out
    step = int(re.search(r"Largest error at step (\d+)", output)[1])
    assert 4187 <= step <= 4218
    near, elsewhere = re.search(r"near them: (\d+); elsewhere: (\d+)", output).groups()
    assert int(near) > int(elsewhere)
    assert (tmp_path / "alarm.png").read_bytes().startswith(PNG)


@pytest.mark.slow
def test_classification_of_series_of_any_length(monkeypatch, capsys, tmp_path):
    pytest.importorskip("aeon")
    options = ["--epochs", 6, "--beside", "gru", "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "classify_series.py", *options)
    output = capsys.readouterr().out
    assert "29 to 361 steps, 10 classes" in output
    # One in ten is chance.
    assert float(re.search(r"^LRU +([\d.]+) %", output, re.MULTILINE)[1]) > 30
    assert "block_0/lru: remembers " in output
    assert (tmp_path / "classify_series.png").read_bytes().startswith(PNG)
    assert (tmp_path / "model.keras").exists()


@pytest.mark.slow
def test_series_are_compared_with_published_results_and_kept(
    monkeypatch, capsys, tmp_path
):
    pytest.importorskip("aeon")
    monkeypatch.syspath_prepend(EXAMPLES)
    kept = tmp_path / "results.jsonl"
    options = ["--datasets", "ItalyPowerDemand", "--seeds", 1, "--epochs", 2]
    script = EXAMPLES / "benchmark_series.py"
    run_here(monkeypatch, script, *options, "--output", kept)
    first = capsys.readouterr().out
    row = re.search(r"^\| ItalyPowerDemand \| (.+) \|$", first, re.MULTILINE)[1]
    *ours, inception, hive_cote = map(float, row.split(" | "))
    assert len(ours) == 3
    assert (inception, hive_cote) == (96.6, 97.0)
    # Cut off while it was written, a line does not count; all others do.
    kept.write_text(kept.read_text() + '\n["jax", "Italy')
    run_here(monkeypatch, script, *options, "--output", kept)
    assert capsys.readouterr().out == first


@pytest.mark.parametrize(
    ("script", "arguments", "message"),
    [
        ("language_model.py", ["--pieces", 39], "--pieces must be at least 40.*: 39"),
        ("language_model.py", ["--prompt", "é"], "--prompt must be ASCII.*'é'"),
        ("forecast.py", ["--epochs", 0], "--epochs must be at least 1.*: 0"),
        ("alarm.py", ["--margin", 0], r"--margin must be above 0.*: 0\.0"),
        ("classify_series.py", ["--dataset", "X"], "invalid choice: 'X'"),
        ("benchmark_series.py", ["--seeds", 0], "--seeds must be at least 1.*: 0"),
    ],
)
def test_bad_arguments_are_refused_before_work_starts(script, arguments, message):
    process = run_process(EXAMPLES / script, *arguments)
    assert process.returncode == 2
    assert re.search(message, process.stderr)
