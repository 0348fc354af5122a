"""Searches that are killed, and searches of several processes."""

import os
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from keras_lru.tuner import trial_table

from .searches import random_search, search

SCRIPT = Path(__file__).with_name("searches.py")
TIMEOUT = 240


class Searches:
    """Starts searches in one folder, and leaves none running."""

    def __init__(self, root):
        self.directory = root / "search"
        self.gate = root / "gate"
        self.running = []

    def start(self, epochs, **environment):
        """A process that waits for the gate after some epochs."""
        process = subprocess.Popen(
            [sys.executable, SCRIPT, self.directory, str(epochs), self.gate],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        # One that waits for another that failed would wait for ever.
        timer = threading.Timer(TIMEOUT, process.kill)
        timer.start()
        self.running.append((process, timer))
        return process

    def table(self):
        """The trials in the folder by their numbers, seen from outside."""
        table = trial_table(random_search(self.directory))
        return {row["trial_id"]: row for row in table}

    def stop(self):
        for process, timer in self.running:
            timer.cancel()
            process.kill()
            process.wait()
            process.stdout.close()


@pytest.fixture
def searches(tmp_path):
    searches = Searches(tmp_path)
    yield searches
    searches.stop()


def wait_until_it_waits(process):
    assert "waiting\n" in process.stdout


def kill(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def finish(*processes):
    for process in processes:
        output, _ = process.communicate()
        assert process.returncode == 0
        assert output.endswith("done\n")


def files(directory):
    return {path: path.stat().st_mtime_ns for path in directory.rglob("trial.json")}


def statuses(table):
    return [
        row["status"] for row in sorted(table.values(), key=lambda r: r["trial_id"])
    ]


@pytest.mark.slow
def test_a_killed_search_repeats_the_running_trial_alone(searches, tmp_path):
    # Three epochs a trial: in the second trial.
    process = searches.start(5)
    wait_until_it_waits(process)
    kill(process)
    before = searches.table()
    assert statuses(before) == ["COMPLETED", "RUNNING"]
    written = files(searches.directory)

    searches.gate.touch()
    finish(searches.start(0))
    after = searches.table()
    assert statuses(after) == ["COMPLETED"] * 4
    assert after["0"] == before["0"]
    assert after["1"]["hyperparameters"] == before["1"]["hyperparameters"]
    rewritten = files(searches.directory).items() - written.items()
    assert {path.parent.name for path, _ in rewritten} == {
        "trial_1",
        "trial_2",
        "trial_3",
    }
    # As if it had not been killed.
    whole = search(random_search(tmp_path / "whole"), epochs=3)
    scores = {row["trial_id"]: row["score"] for row in whole}
    assert {name: row["score"] for name, row in after.items()} == pytest.approx(scores)


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@pytest.mark.slow
def test_chief_and_workers_share_the_trials_and_survive_a_killed_one(
    searches, tmp_path
):
    address = {
        "KERASTUNER_ORACLE_IP": "127.0.0.1",
        "KERASTUNER_ORACLE_PORT": str(free_port()),
    }

    def start(name):
        return searches.start(1, KERASTUNER_TUNER_ID=name, **address)

    chief, first, second = map(start, ("chief", "worker_0", "worker_1"))
    wait_until_it_waits(first)
    wait_until_it_waits(second)
    assert statuses(searches.table()) == ["RUNNING", "RUNNING"]
    kill(second)
    searches.gate.touch()
    # Under its name, what it was at is handed out again.
    finish(first, start("worker_1"), chief)
    table = searches.table()
    assert statuses(table) == ["COMPLETED"] * 4
    whole = search(random_search(tmp_path / "whole"), epochs=3)
    scores = {row["trial_id"]: row["score"] for row in whole}
    assert {name: row["score"] for name, row in table.items()} == pytest.approx(scores)
