"""Examples computed in parallel, kept on disk as they come, resumed if killed."""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from tqdm.auto import tqdm

from keras_lru.checks import check_positive_integer
from keras_lru.datasets.generating import worker
from keras_lru.datasets.generating.chunks import (
    chunk_path,
    compute_chunk,
    is_whole,
    read_chunk,
)


def generate(
    function: Callable[[range], Iterable],
    count: int,
    directory: str | os.PathLike,
    *,
    chunk_size: int = 1000,
    processes: int | None = None,
    description: str | None = None,
) -> Iterator:
    """The examples 0 to `count` − 1 of `function`, from disk where they are there.

    The examples are computed in chunks of consecutive indices, each written to
    `directory` as soon as it is finished, whole or not at all. A call that was
    killed goes on where it stopped: it reads the finished chunks and computes the
    others (a damaged file counts as missing). A later call with a larger `count`
    uses all full chunks of the former.

    Workers are fresh interpreters, safe beside TensorFlow's and JAX's threads. They
    need no `if __name__ == "__main__"` in the user's script, start within half a
    second (they import the function's module, but neither Keras nor TensorFlow
    unless that module does), and end with the parent: at once if it is interrupted,
    else after their chunk.

    Args:
        function: Maps a `range` of indices to their examples, in order. Each example
            must depend on its own index alone (see `random_generator` in
            `keras_lru.datasets.generating.seeding`); then the examples are the same
            for any number of processes and any `chunk_size`. With more than one
            process it must be picklable: a function of an importable module (one
            that doesn't import Keras or TensorFlow, for a fast start), or a
            `functools.partial` of one. So must the examples.
        count: Integer, the number of examples.
        directory: Where the chunks are kept; created if missing. Its name must tell
            apart everything that the examples depend on, as a chunk found there is
            taken for granted. The caller deletes it once it has no more use for it.
        chunk_size: Integer, the number of examples in a file: as many as a worker
            computes in a few seconds, which is what a kill costs.
        processes: Integer, the number of workers. With 1 all is computed here,
            without a worker. Defaults to `None`: one per usable core.
        description: Text in front of the progress bar.

    Returns:
        An iterator over the examples in order of their indices, which reads a chunk
        at a time. All chunks are on disk when `generate` returns.

    Raises:
        ValueError: If `count`, `chunk_size` or `processes` is not a positive integer,
            or if `function` returns more or fewer examples than there are indices
            (with one process; else it is a `RuntimeError`).
        RuntimeError: If `function` fails in a worker, or a worker is killed. Finished
            chunks stay, so that the next call goes on from there.

    Example:
        >>> import tempfile
        >>> from keras_lru.datasets.generating.parallel import generate
        >>> def squares(indices):
        ...     return [{"value": index**2} for index in indices]
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     for example in generate(squares, 3, directory, processes=1):
        ...         print(example)
        {'value': 0}
        {'value': 1}
        {'value': 4}
    """
    count = check_positive_integer("count", count)
    chunk_size = check_positive_integer("chunk_size", chunk_size)
    if processes is None:
        processes = usable_cores()
    processes = check_positive_integer("processes", processes)
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)

    chunks = [
        range(start, min(start + chunk_size, count))
        for start in range(0, count, chunk_size)
    ]
    missing = [chunk for chunk in chunks if not is_whole(chunk_path(directory, chunk))]
    processes = min(processes, len(missing))
    done = count - sum(map(len, missing))
    with tqdm(
        total=count, initial=done, desc=description, unit=" examples", leave=None
    ) as bar:
        if processes > 1:
            _compute_in_workers(function, missing, directory, processes, bar)
        else:
            for chunk in missing:
                compute_chunk(function, chunk, directory)
                bar.update(len(chunk))
    return _read(function, chunks, directory)


def usable_cores() -> int:
    """The number of cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read(function, chunks, directory):
    for chunk in chunks:
        examples = read_chunk(chunk_path(directory, chunk))
        # Another process that made the same examples may have tidied up.
        yield from function(chunk) if examples is None else examples


def _compute_in_workers(function, chunks, directory, processes, bar):
    idle = queue.SimpleQueue()

    def compute(chunk):
        process = idle.get()
        try:
            process.compute(chunk)
        finally:
            idle.put(process)
        return len(chunk)

    with contextlib.ExitStack() as stack:
        threads = stack.enter_context(ThreadPoolExecutor(processes))
        # Left first: without workers, the threads that wait for them end at once.
        for _ in range(processes):
            idle.put(stack.enter_context(_Worker(function, directory)))
        for future in as_completed([threads.submit(compute, c) for c in chunks]):
            bar.update(future.result())


class _Worker:
    """A process that runs `worker.py`; killed when its context is left."""

    def __init__(self, function, directory):
        self._directory = directory
        self._start = (function, directory)

    def __enter__(self):
        self._process = subprocess.Popen(
            [sys.executable, "-P", worker.__file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._send(sys.path)
        return self

    def __exit__(self, *_):
        self._process.kill()
        # What was on its way to the worker can't be delivered.
        with contextlib.suppress(BrokenPipeError):
            self._process.__exit__(None, None, None)

    def compute(self, chunk):
        if self._start is not None:
            self._ask(self._start)
            self._start = None
        self._ask(chunk)

    def _ask(self, request):
        try:
            self._send(request)
            error = pickle.load(self._process.stdout)
        except (EOFError, BrokenPipeError):
            code = self._process.wait()
            error = f"A worker died with exit code {code}."
        if error is not None:
            raise RuntimeError(
                f"Generating into {self._directory} stopped; the finished chunks "
                f"stay there, and the next run goes on with the others.\n{error}"
            )

    def _send(self, message):
        pickle.dump(message, self._process.stdin)
        self._process.stdin.flush()
