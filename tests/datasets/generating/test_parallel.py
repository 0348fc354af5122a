import contextlib
import functools
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru.datasets.generating.parallel import generate, usable_cores
from keras_lru.datasets.generating.seeding import random_generator

from ..conftest import ROOT
from .generators import (
    chatty,
    failing,
    forgetful,
    logged_noise,
    noise,
    suicidal,
)

needs_proc = pytest.mark.skipif(
    not Path("/proc/self/task").exists(), reason="finds the workers in /proc"
)
SCRIPT = """
import functools, signal, sys
from keras_lru.datasets.generating.parallel import generate
from tests.datasets.generating.generators import logged_noise

# A shell's background job would inherit a Ctrl-C that is ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
# No `if __name__ == "__main__"`: users' scripts have none either.
log, directory = sys.argv[1:]
function = functools.partial(logged_noise, log=log, seconds=0.2)
for example in generate(function, 40, directory, chunk_size=2, processes=2):
    pass
"""


@pytest.fixture
def log(tmp_path):
    path = tmp_path / "log"
    path.mkdir()
    return path


def computed_starts(log):
    """First index of every chunk computed, repeats included."""
    return sorted(int(path.name.split("-")[0]) for path in log.iterdir())


def chunk_files(directory):
    return sorted(directory.glob("*.chunk"))


def is_running(pid):
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    # A zombie has ended, and waits for somebody to ask for its exit code.
    return status.rpartition(")")[2].split()[0] != "Z"


def children(pid):
    """The processes that `pid` started, from any of its threads."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for path in lists for child in path.read_text().split()]


def wait_until(condition, seconds=60):
    limit = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < limit, "waited in vain"
        time.sleep(0.02)


@contextlib.contextmanager
def interrupted_generation(cache, log, with_signal):
    """Yields the script's process and its workers after the signal has hit it."""
    process = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(log), str(cache)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            wait_until(lambda: len(chunk_files(cache)) >= 3)
            workers = children(process.pid)
            process.send_signal(with_signal)
            yield process, workers
        finally:
            process.kill()


@given(st.integers(1, 30), st.integers(1, 12))
@settings(deadline=None, max_examples=20)
def test_examples_come_in_order_for_any_chunk_size(count, chunk_size):
    with tempfile.TemporaryDirectory() as cache:
        examples = generate(noise, count, cache, chunk_size=chunk_size, processes=1)
        assert list(examples) == noise(range(count))


def test_two_processes_write_the_bytes_that_one_writes(tmp_path):
    for processes in (1, 2):
        cache = tmp_path / str(processes)
        examples = generate(noise, 25, cache, chunk_size=4, processes=processes)
        assert list(examples) == noise(range(25))
    one, two = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("1", "2")
    )
    assert len(one) == 7
    assert one == two


def test_a_larger_count_uses_the_full_chunks_of_a_smaller_one(tmp_path, log):
    function = functools.partial(logged_noise, log=log)
    generate(function, 10, tmp_path / "cache", chunk_size=4, processes=1)
    assert computed_starts(log) == [0, 4, 8]
    examples = generate(function, 13, tmp_path / "cache", chunk_size=4, processes=1)
    assert list(examples) == noise(range(13))
    # The chunk from 8 had been cut short at 10.
    assert computed_starts(log) == [0, 4, 8, 8, 12]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes()[:4]),
        lambda path: path.write_bytes(path.read_bytes()[:-1] + b"x"),
        lambda path: path.unlink(),
    ],
    ids=["empty", "truncated", "checksum alone", "changed", "missing"],
)
def test_a_damaged_chunk_is_computed_again(tmp_path, log, damage):
    cache = tmp_path / "cache"
    function = functools.partial(logged_noise, log=log)
    generate(function, 9, cache, chunk_size=3, processes=1)
    second = chunk_files(cache)[1]
    whole = second.read_bytes()
    damage(second)
    examples = generate(function, 9, cache, chunk_size=3, processes=1)
    assert computed_starts(log) == [0, 3, 3, 6]
    assert second.read_bytes() == whole
    assert list(examples) == noise(range(9))


def test_a_chunk_that_vanishes_while_being_read_is_computed_again(tmp_path):
    examples = generate(noise, 9, tmp_path, chunk_size=3, processes=1)
    first = next(examples)
    for path in chunk_files(tmp_path):
        path.unlink()
    assert [first, *examples] == noise(range(9))


def test_what_a_function_prints_does_no_harm(tmp_path):
    examples = generate(chatty, 4, tmp_path, chunk_size=1, processes=2)
    assert list(examples) == noise(range(4))


def test_progress_bar_starts_from_the_finished_chunks(tmp_path, capsys):
    generate(noise, 8, tmp_path, chunk_size=4, processes=1)
    capsys.readouterr()
    generate(noise, 16, tmp_path, chunk_size=4, processes=1, description="noise")
    bar = capsys.readouterr().err
    assert "noise:  50%" in bar
    assert "noise: 100%" in bar
    assert "16/16" in bar


@needs_proc
@pytest.mark.slow
def test_killed_generation_goes_on_where_it_was(tmp_path, log):
    cache = tmp_path / "cache"
    with interrupted_generation(cache, log, signal.SIGKILL) as (process, workers):
        assert process.wait() == -signal.SIGKILL
        assert len(workers) == 2
        wait_until(lambda: not any(map(is_running, workers)))
    finished = chunk_files(cache)
    assert 3 <= len(finished) < 20
    for path in log.iterdir():
        path.unlink()

    resumed = functools.partial(logged_noise, log=log)
    examples = generate(resumed, 40, cache, chunk_size=2, processes=2)
    assert list(examples) == noise(range(40))
    finished_starts = [int(path.name.split("-")[0]) for path in finished]
    assert computed_starts(log) == sorted({*range(0, 40, 2)} - {*finished_starts})


@needs_proc
@pytest.mark.slow
def test_interrupted_generation_leaves_no_process(tmp_path, log):
    with interrupted_generation(tmp_path, log, signal.SIGINT) as (process, workers):
        assert process.wait(timeout=30) != 0
        assert "KeyboardInterrupt" in process.stderr.read()
        assert len(workers) == 2
        assert not any(map(is_running, workers))


def test_failure_in_a_worker_is_told_with_its_traceback(tmp_path):
    with pytest.raises(RuntimeError, match="no example 5") as caught:
        generate(failing, 40, tmp_path, chunk_size=2, processes=2)
    assert str(tmp_path) in str(caught.value)
    assert "in failing" in str(caught.value)


def test_failure_without_workers_is_the_function_s_own(tmp_path):
    with pytest.raises(ArithmeticError, match="no example 5"):
        generate(failing, 40, tmp_path, chunk_size=2, processes=1)
    assert len(chunk_files(tmp_path)) == 2


def test_death_of_a_worker_is_told(tmp_path):
    with pytest.raises(RuntimeError, match=r"worker died with exit code -9"):
        generate(suicidal, 4, tmp_path, chunk_size=2, processes=2)


def test_function_that_workers_cannot_import_is_refused(tmp_path):
    with pytest.raises((pickle.PicklingError, AttributeError), match="lambda"):
        generate(lambda indices: noise(indices), 4, tmp_path, chunk_size=1, processes=2)


@pytest.mark.parametrize("processes", [1, 2])
def test_function_that_forgets_an_example_is_refused(tmp_path, processes):
    with pytest.raises((ValueError, RuntimeError), match="2 examples for range"):
        generate(forgetful, 6, tmp_path, chunk_size=3, processes=processes)
    assert chunk_files(tmp_path) == []


@pytest.mark.parametrize("name", ["count", "chunk_size", "processes"])
@pytest.mark.parametrize("value", [0, -1, 2.0, "2"])
def test_refuses_what_is_not_a_positive_integer(tmp_path, name, value):
    arguments = {"count": 4, "chunk_size": 2, "processes": 1, name: value}
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
        generate(noise, directory=tmp_path, **arguments)
    assert list(tmp_path.iterdir()) == []


def test_usable_cores_are_those_of_this_process():
    assert 1 <= usable_cores() <= os.cpu_count()


@pytest.mark.parametrize("other", [(1, "train", 7), (0, "test", 7), (0, "train", 8)])
def test_random_numbers_depend_on_seed_split_and_index(other):
    numbers = random_generator(0, "train", 7).random(4).tolist()
    assert random_generator(0, "train", 7).random(4).tolist() == numbers
    assert not set(random_generator(*other).random(4)) & set(numbers)
