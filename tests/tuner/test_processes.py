"""Searches that are killed, and searches of several processes."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras_tuner
import pytest

from keras_lru.tuner import trial_table

from .searches import hypermodel

SCRIPT = Path(__file__).with_name("searches.py")
TIMEOUT = 240


class Processes:
    """Starts searches, and leaves none behind."""

    def __init__(self, directory):
        self.directory = directory
        self.running = []

    def start(self, **environment):
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), "--directory", str(self.directory)],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        self.running.append(process)
        return process

    def table(self):
        """The trials in the folder, seen from outside of the search."""
        tuner = keras_tuner.RandomSearch(
            hypermodel(), "val_loss", max_trials=4, directory=self.directory
        )
        return {row["trial_id"]: row for row in trial_table(tuner)}

    def stop(self):
        for process in self.running:
            process.kill()
            process.communicate()


@pytest.fixture
def processes(tmp_path):
    processes = Processes(tmp_path / "search")
    yield processes
    processes.stop()


def wait_for_epochs(process, count):
    for line in process.stdout:
        count -= line.startswith("epoch")
        if not count:
            return
    raise AssertionError("The search ended before.")


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def finish(*processes):
    deadline = time.monotonic() + TIMEOUT
    for process in processes:
        output, _ = process.communicate(timeout=deadline - time.monotonic())
        assert process.returncode == 0
        assert "done" in output


def files(directory):
    return {path: path.stat().st_mtime_ns for path in directory.rglob("trial.json")}


def statuses(table):
    return [
        row["status"] for row in sorted(table.values(), key=lambda r: r["trial_id"])
    ]


@pytest.mark.slow
def test_a_killed_search_repeats_the_running_trial_alone(processes, tmp_path):
    # Three epochs a trial: the fifth is in the middle of the second trial.
    process = processes.start()
    wait_for_epochs(process, 5)
    kill(process)
    before, written = processes.table(), files(tmp_path)
    assert statuses(before) == ["COMPLETED", "RUNNING"]

    finish(processes.start())
    after = processes.table()
    assert statuses(after) == ["COMPLETED"] * 4
    assert after["0"] == before["0"]
    assert after["1"]["hyperparameters"] == before["1"]["hyperparameters"]
    untouched = [path for path, t in files(tmp_path).items() if written.get(path) == t]
    assert [path.parent.name for path in untouched] == ["trial_0"]


@pytest.mark.slow
def test_a_killed_search_finds_what_it_would_have_found(processes, tmp_path):
    process = processes.start()
    wait_for_epochs(process, 2)
    kill(process)
    finish(processes.start())
    whole = Processes(tmp_path / "whole")
    process = whole.start()
    try:
        finish(process)
    finally:
        whole.stop()
    assert processes.table() == whole.table()


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.slow
def test_chief_and_workers_share_the_trials_and_survive_a_killed_one(processes):
    address = {
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(free_port()),
    }

    def start(name):
        return processes.start(KERASTUNER_TUNER_ID=name, **address)

    chief, first, second = map(start, ("chief", "worker_0", "worker_1"))
    wait_for_epochs(first, 1)
    wait_for_epochs(second, 1)
    assert statuses(processes.table())[:2] == ["RUNNING", "RUNNING"]
    kill(second)
    # Under its name the trial that it left behind is handed out again.
    finish(first, start("worker_1"), chief)
    table = processes.table()
    assert statuses(table) == ["COMPLETED"] * 4
    assert len({row["hyperparameters"]["max_phase"] for row in table.values()}) == 4
