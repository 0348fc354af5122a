"""Training on the Long Range Arena: run, killed, resumed, shared between devices."""

import csv
import json
import runpy
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from tests.examples.running import EXAMPLES, run_here, run_process
from tests.processes import finish, start

SCRIPT = EXAMPLES / "train_lra.py"
SMALL = ("units=8", "state_size=8", "depth=1", "config=tiny", "batch_size=20")
STEPS = ("--steps", "80", "--validate-every", "20")
# Two CPU devices, on both backends, before either starts.
TWO_DEVICES = """
import os, runpy, sys
os.environ["XLA_FLAGS"] += " --xla_force_host_platform_device_count=2"
import tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
virtual = [tf.config.LogicalDeviceConfiguration()] * 2
tf.config.set_logical_device_configuration(cpu, virtual)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def arguments(data_dir):
    words = ["--task", "listops", "--scale", "tiny", "--data-dir", str(data_dir)]
    return [*words, *STEPS, "--set", *SMALL]


def rows(folder):
    with open(folder / "metrics.csv") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"}
            for row in csv.DictReader(file)
        ]


@pytest.fixture(scope="module")
def whole(arguments, tmp_path_factory):
    """The folder of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        run_here(monkeypatch, SCRIPT, "--output-dir", folder, *arguments)
    return folder


@pytest.mark.slow
def test_writes_all_that_is_needed_to_repeat_it(whole, backend):
    names = {path.name for path in whole.iterdir()}
    assert names == {
        *("best.keras", "config.json", "curves.png", "last.keras", "metrics.csv"),
        *("result.json", "tensorboard", "training.npz"),
    }
    assert any(path.is_file() for path in (whole / "tensorboard").rglob("events*"))
    logged = rows(whole)
    assert [row["step"] for row in logged] == [20, 40, 60, 80]
    assert logged[-1]["loss"] < logged[0]["loss"]
    result = json.loads((whole / "result.json").read_text())
    assert result["validation_accuracy"] == max(row["val_accuracy"] for row in logged)
    assert result["test_examples"] == 500
    run = result["run"]
    assert (run["units"], run["steps"], run["seed"], run["backend"]) == (
        *(8, 80, 0),
        backend,
    )
    model = keras.models.load_model(whole / "best.keras")
    assert model.count_params() == result["parameters"]


@pytest.mark.slow
def test_killed_and_resumed_it_ends_the_same(whole, arguments, tmp_path):
    folder = tmp_path / "run"
    command = [sys.executable, SCRIPT, *arguments, "--output-dir", folder]
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while not (folder / "training.npz").exists() and process.poll() is None:
            time.sleep(0.02)
        # Somewhere within the second epoch.
        time.sleep(0.1)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert (folder / "training.npz").exists(), (tmp_path / "log").read_text()
    assert not (folder / "result.json").exists()

    again = run_process(*command[1:], "--resume")
    assert again.returncode == 0, again.stderr
    assert "Epoch 1/4" not in again.stdout
    # Another process, perhaps other threads: sums in another order.
    for a, b in zip(rows(folder), rows(whole), strict=True):
        assert a == pytest.approx(b, rel=1e-4), (a, b)


@pytest.mark.slow
def test_devices_that_share_batches_train_the_same(whole, arguments, tmp_path):
    folder = tmp_path / "run"
    words = [*arguments, "--distribute", "--output-dir", folder]
    process = run_process("-c", TWO_DEVICES, SCRIPT, *words)
    assert process.returncode == 0, process.stderr
    shared, alone = rows(folder), rows(whole)
    # float32 sums in another order, through 80 steps of Adam.
    for name, tolerance in (("loss", 1e-3), ("val_loss", 1e-2)):
        np.testing.assert_allclose(
            [row[name] for row in shared], [row[name] for row in alone], rtol=tolerance
        )


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="Keras trains in several processes on JAX"
)
def test_processes_that_share_batches_are_killed_and_resumed(
    whole, arguments, tmp_path
):
    folder = tmp_path / "run"
    command = [SCRIPT, *arguments, "--distribute", "--output-dir", folder]
    processes = start(2, *command)
    while not (folder / "training.npz").exists() and processes[0].poll() is None:
        time.sleep(0.02)
    processes[1].send_signal(signal.SIGKILL)
    (code, _, errors), _ = finish(processes)
    assert code not in (0, None)
    assert "has lost another one" in errors
    assert not (folder / "result.json").exists()

    first, second = finish(start(2, *command, "--resume"))
    assert (first[0], second[0]) == (0, 0), first[2] + second[2]
    assert "Test accuracy" in first[1]
    assert "Epoch" not in second[1]
    assert "Test accuracy" not in second[1]
    names = {path.name for path in whole.iterdir()}
    assert {path.name for path in folder.iterdir()} == names
    shared, alone = rows(folder), rows(whole)
    for name, tolerance in (("loss", 1e-3), ("val_loss", 1e-2)):
        np.testing.assert_allclose(
            [row[name] for row in shared], [row[name] for row in alone], rtol=tolerance
        )


@pytest.mark.slow
def test_stops_early_and_stays_stopped(arguments, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "run"
    # Weights hardly move, statistics do not: no gain after the first validations.
    flat = ["--patience", "1", "--output-dir", folder, "--precision", "mixed_bfloat16"]
    flat += [*arguments, "learning_rate=1e-7", "norm_momentum=0.99999999"]
    run_here(monkeypatch, SCRIPT, *flat)
    assert len(rows(folder)) < 4
    before = (folder / "training.npz").read_bytes()
    capsys.readouterr()
    run_here(monkeypatch, SCRIPT, "--resume", *flat)
    assert "Epoch" not in capsys.readouterr().out
    assert (folder / "training.npz").read_bytes() == before


def refusal(monkeypatch, *arguments):
    with pytest.raises(SystemExit) as stop:
        run_here(monkeypatch, SCRIPT, *arguments)
    return str(stop.value)


@pytest.mark.slow
def test_refuses_to_mix_runs(whole, arguments, monkeypatch):
    here = [*arguments, "--output-dir", whole]
    assert "holds a run already: add --resume" in refusal(monkeypatch, *here)
    message = refusal(monkeypatch, *here, "--resume", "--seed", "3")
    assert "takes no other settings. seed: 0, not 3" in message


@pytest.mark.slow
def test_says_that_training_diverged(arguments, tmp_path, monkeypatch):
    wild = ["--output-dir", tmp_path / "run", *arguments, "learning_rate=1e30"]
    message = refusal(monkeypatch, *wild)
    assert "training diverged: the loss was nan" in message
    assert "Try a smaller learning_rate" in message


def test_rows_after_the_checkpoint_are_forgotten(tmp_path):
    keep_rows = runpy.run_path(str(SCRIPT))["keep_rows"]
    path = tmp_path / "metrics.csv"
    keep_rows(path, 2)
    assert not path.exists()
    whole = "epoch,loss\n0,0.5\n1,0.25\n"
    for torn in ("", "2,0.125\n", "1", "2,0."):
        path.write_text(whole + torn)
        keep_rows(path, 2)
        assert path.read_text() == whole
    for before in ("epo", "epoch,loss\n", "epoch,loss\n0,0.5\n"):
        path.write_text(before)
        keep_rows(path, 0)
        assert path.read_text() == ""


def test_refuses_what_it_does_not_know(arguments, tmp_path, monkeypatch):
    here = ["--output-dir", tmp_path / "run", *arguments]
    message = refusal(monkeypatch, *here, "width=3")
    assert "A preset has nothing of the name ['width']" in message
    message = refusal(monkeypatch, *here, "--recurrence", "transformer")
    assert "`recurrence` must be one of" in message
    message = refusal(monkeypatch, *here, "--hyperparameters", tmp_path / "none.json")
    assert "none.json" in message
    message = refusal(monkeypatch, *here, "--task", "chess")
    assert "`task` must be one of" in message
    assert not (tmp_path / "run").exists()


def test_names_files_that_must_be_fetched(tmp_path, monkeypatch):
    message = refusal(
        monkeypatch,
        *("--task", "retrieval", "--scale", "tiny"),
        *("--data-dir", tmp_path, "--output-dir", tmp_path / "run"),
    )
    assert "new_aan_pairs.train.tsv" in message
    assert "lra_release.gz" in message


@pytest.mark.parametrize(
    ("flag", "value"),
    [("--steps", 0), ("--batch-size", -1), ("--seed", -1), ("--patience", 0)],
)
def test_refuses_numbers_before_anything_is_imported(flag, value):
    process = run_process(SCRIPT, "--task", "listops", flag, value)
    assert process.returncode == 2
    assert f"{flag} must be at least" in process.stderr
    assert f"Received: {value}" in process.stderr


def test_several_processes_must_be_asked_for():
    process = run_process(
        *(SCRIPT, "--task", "listops"),
        environment={"KERAS_DISTRIBUTION_NUM_PROCESSES": "2"},
    )
    assert process.returncode == 2
    assert "with --distribute; without it each would train its own" in process.stderr
