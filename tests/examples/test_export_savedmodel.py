"""The examples of export: a model trained, exported, and streamed from."""

import io
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_lru import LRU
from keras_lru.export import export_saved_model
from tests.examples.running import EXAMPLES, run_here


@pytest.fixture
def stream(monkeypatch, capsys):
    """A function that gives lines to stream.py and returns the lines that it prints."""

    def run(*arguments, lines):
        text = "".join(f"{line}\n" for line in lines)
        monkeypatch.setattr(sys, "stdin", io.StringIO(text))
        capsys.readouterr()
        run_here(monkeypatch, EXAMPLES / "stream.py", *arguments)
        return capsys.readouterr().out.split()

    return run


@pytest.mark.slow
def test_exports_and_streams(tmp_path, monkeypatch, capsys, stream):
    words = ["--epochs", 1, "--output-dir", tmp_path]
    run_here(monkeypatch, EXAMPLES / "export_savedmodel.py", *words)
    differences = re.findall(
        r"By (\w+): .*difference ([\d.e+-]+)", capsys.readouterr().out
    )
    assert [name for name, _ in differences] == ["whole", "steps", "chunks"]
    # Two compilations of one float32 model.
    assert all(float(value) < 1e-4 for _, value in differences)
    assert len(stream(tmp_path / "saved_model", lines=["0.5", "0.25"])) == 2


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A stream of two numbers a step, and what it must print."""
    model = keras.Sequential([LRU(1, state_size=4, return_sequences=True)])
    x = np.random.default_rng(0).normal(size=(1, 8, 2)).round(3).astype("float32")
    outputs = keras.ops.convert_to_numpy(model(x))[0, :, 0]
    path = tmp_path_factory.mktemp("stream") / "model"
    export_saved_model(model, path, verbose=False)
    return path, [f"{a}, {b}" for a, b in x[0].tolist()], outputs


def test_a_stream_cut_in_two_goes_on(exported, tmp_path, stream):
    path, lines, outputs = exported
    state = tmp_path / "state.npz"
    first = stream(path, "--state", state, lines=["# header", *lines[:3], ""])
    second = stream(path, "--state", state, lines=lines[3:])
    printed = [float(line) for line in first + second]
    np.testing.assert_allclose(printed, outputs, atol=1e-5)


def test_a_bad_line_is_named_and_loses_no_state(exported, tmp_path, stream):
    path, lines, outputs = exported
    state = tmp_path / "state.npz"
    with pytest.raises(SystemExit) as stop:
        stream(path, "--state", state, lines=[*lines[:2], "1.0"])
    assert stop.value.code == "line 3: expected 2 numbers, received 1: '1.0'"
    second = stream(path, "--state", state, lines=lines[2:])
    np.testing.assert_allclose([float(y) for y in second], outputs[2:], atol=1e-5)


@pytest.mark.slow
def test_ctrl_c_loses_no_state(exported, tmp_path, stream):
    path, lines, outputs = exported
    state = tmp_path / "state.npz"
    process = subprocess.Popen(
        [sys.executable, EXAMPLES / "stream.py", path, "--state", state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    process.stdin.write(f"{lines[0]}\n")
    process.stdin.flush()
    np.testing.assert_allclose(float(process.stdout.readline()), outputs[0], atol=1e-5)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    (second,) = stream(path, "--state", state, lines=lines[1:2])
    np.testing.assert_allclose(float(second), outputs[1], atol=1e-5)


def test_what_is_no_state_is_refused(exported, tmp_path, stream):
    path, lines, _ = exported
    broken = tmp_path / "broken.npz"
    broken.write_text("not a state")
    with pytest.raises(SystemExit, match=r"broken\.npz holds no states"):
        stream(path, "--state", broken, lines=lines)
    other = tmp_path / "other.npz"
    np.savez(other, lstm_state_0=np.zeros((1, 4)))
    with pytest.raises(SystemExit, match=r"other\.npz is of another model"):
        stream(path, "--state", other, lines=lines)


def test_a_folder_without_a_model_is_refused(tmp_path, stream, capsys):
    with pytest.raises(SystemExit):
        stream(tmp_path, lines=[])
    assert f"there is no SavedModel in {tmp_path}" in capsys.readouterr().err
