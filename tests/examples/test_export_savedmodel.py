"""The examples of export: a model trained, exported, and streamed from."""

import re
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_lru import LRU
from keras_lru.export import export_saved_model

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.slow
def test_exports_and_streams(tmp_path, backend):
    command = [EXAMPLES / "export_savedmodel.py", "--backend", backend]
    process = subprocess.run(
        [sys.executable, *command, "--epochs", "3", "--output-dir", tmp_path],
        capture_output=True,
        text=True,
    )
    assert process.returncode == 0, process.stderr
    differences = re.findall(r"By (\w+): .*difference ([\d.e+-]+)", process.stdout)
    assert [name for name, _ in differences] == ["whole", "steps", "chunks"]
    # Two compilations of one float32 model.
    assert all(float(value) < 1e-4 for _, value in differences)
    stream = _stream(tmp_path / "saved_model", lines=["0.5", "0.25"])
    assert len(stream.stdout.split()) == 2


def _stream(model, *arguments, lines):
    return subprocess.run(
        [sys.executable, EXAMPLES / "stream.py", model, *arguments],
        input="".join(f"{line}\n" for line in lines),
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A stream of two numbers a step, and what it must print."""
    model = keras.Sequential([LRU(1, state_size=4, return_sequences=True)])
    x = np.random.default_rng(0).normal(size=(1, 8, 2)).round(3).astype("float32")
    outputs = np.asarray(model(x))[0, :, 0]
    path = tmp_path_factory.mktemp("stream") / "model"
    export_saved_model(model, path, verbose=False)
    return path, [f"{a}, {b}" for a, b in x[0].tolist()], outputs


def test_a_stream_cut_in_two_goes_on(exported, tmp_path):
    path, lines, outputs = exported
    state = tmp_path / "state.npz"
    first = _stream(path, "--state", state, lines=["# header", *lines[:3], ""])
    second = _stream(path, "--state", state, lines=lines[3:])
    printed = [float(line) for line in (first.stdout + second.stdout).split()]
    np.testing.assert_allclose(printed, outputs, atol=1e-5)


@pytest.mark.slow
def test_a_bad_line_is_named_and_loses_no_state(exported, tmp_path):
    path, lines, outputs = exported
    state = tmp_path / "state.npz"
    first = _stream(path, "--state", state, lines=[*lines[:2], "1.0"])
    assert first.returncode == 1
    assert "line 3: expected 2 numbers, received 1: '1.0'" in first.stderr
    second = _stream(path, "--state", state, lines=lines[2:])
    np.testing.assert_allclose(
        [float(line) for line in second.stdout.split()], outputs[2:], atol=1e-5
    )


@pytest.mark.slow
def test_ctrl_c_loses_no_state(exported, tmp_path):
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
    second = _stream(path, "--state", state, lines=lines[1:2])
    np.testing.assert_allclose(float(second.stdout), outputs[1], atol=1e-5)


@pytest.mark.slow
def test_what_is_no_state_is_refused(exported, tmp_path):
    path, lines, _ = exported
    broken = tmp_path / "broken.npz"
    broken.write_text("not a state")
    process = _stream(path, "--state", broken, lines=lines)
    assert process.returncode == 1
    assert "broken.npz holds no states" in process.stderr
    other = tmp_path / "other.npz"
    np.savez(other, lstm_state_0=np.zeros((1, 4)))
    process = _stream(path, "--state", other, lines=lines)
    assert "other.npz is of another model" in process.stderr
    assert _stream(tmp_path, lines=[]).returncode == 2
