"""Several processes that train one model, on one machine or on many."""

import atexit
import contextlib
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from keras_lru import backend
from keras_lru.checks import (
    check_non_negative_integer,
    check_positive_integer,
    is_number,
)


class Processes:
    """The processes that train one model, as one of them sees them.

    `keras_lru.training.join_processes` gives it.

    Attributes:
        count: How many there are.
        id: Which of them this one is, from 0.
        is_first: Whether it is process 0: the one that writes and prints.

    Example:
        >>> from keras_lru.training import join_processes
        >>> with join_processes() as processes:
        ...     processes.first(max, [1, 3, 2])
        3
    """

    def __init__(self):
        self.count = backend.num_processes()
        self.id = backend.process_id()
        self.is_first = is_first_process()

    def first(self, function: Callable, *args) -> Any:
        """What a function returns in process 0, in all processes; so all must call it.

        Args:
            function: Is called in process 0 alone.
            *args: Its arguments.

        Returns:
            What it returned, by way of `pickle`.

        Raises:
            Exception: What it raised, in all processes.
        """
        return on_first_process(function, *args)

    @contextlib.contextmanager
    def folder(self, path: str | os.PathLike) -> Iterator[Path]:
        """Scope with a folder to write to, in which process 0's files alone stay.

        For callbacks that write. All processes have to call the same ones, as some
        compute with the model's weights.

        Args:
            path: The folder. It need not exist.

        Returns:
            A context manager, which gives `path` in process 0, and in others a
            temporary folder that is deleted.
        """
        if self.is_first:
            yield Path(path)
            return
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            yield Path(folder)


@contextlib.contextmanager
def join_processes(
    job_addresses: str | None = None,
    num_processes: int | None = None,
    process_id: int | None = None,
    timeout: float = 60.0,
) -> Iterator[Processes]:
    """Scope in which this process is one of several that train one model, on JAX.

    Before anything is computed, each process enters it, in the same program. What
    Keras's `keras.distribution.initialize` takes is taken, by argument or from the
    same environment variables. If there are none, or it is one process, nothing is
    joined: a program trains in one process or in many as it is started.

    Inside, `keras_lru.training.data_parallel` trains on the devices of all processes,
    and `keras_lru.training.TrainingCheckpoint` is written by process 0. A process that
    is lost, or leaves by an exception, ends the others, with an error. At the end of
    the program all wait for the last one.

    Args:
        job_addresses: String, `"host:port"` of process 0, which the others can reach;
            those of others may follow, after commas. Defaults to
            `KERAS_DISTRIBUTION_JOB_ADDRESSES`, and on TPUs, Slurm and Open MPI to what
            JAX finds out.
        num_processes: Positive integer, how many there are. Defaults to
            `KERAS_DISTRIBUTION_NUM_PROCESSES`, then to what JAX finds out.
        process_id: Integer from 0 to `num_processes - 1`. Defaults to
            `KERAS_DISTRIBUTION_PROCESS_ID`, then to what JAX finds out.
        timeout: Positive number of seconds after which a process that gives no sign
            of life is lost. One that is killed is missed at once where connections
            break by that.

    Returns:
        A context manager, which gives `Processes`.

    Raises:
        ValueError: If an argument or environment variable is not as above, or JAX
            doesn't find out what is missing.
        NotImplementedError: On other backends, of several processes.
        RuntimeError: If something has been computed already.
        ConnectionError: When another process is lost.

    Example:
        >>> from keras_lru.training import join_processes
        >>> with join_processes() as processes:
        ...     processes.id, processes.count, processes.is_first
        (0, 1, True)
    """
    if not (is_number(timeout) and timeout > 0):
        raise ValueError(
            "`timeout` must be a positive number of seconds. "
            f"Received: timeout={timeout!r}"
        )
    job_addresses, num_processes, process_id = _settings(
        job_addresses, num_processes, process_id
    )
    given = (job_addresses, num_processes, process_id) != (None, None, None)
    if given and num_processes != 1:
        _join(job_addresses, num_processes, process_id, timeout)
    processes = Processes()
    if processes.count == 1:
        yield processes
        return
    try:
        yield processes
    except BaseException as error:
        # The others wait for this one, and it would wait for them before it ends.
        atexit.register(_end_now)
        if isinstance(error, Exception) and backend.lost_another_process(error):
            raise ConnectionError(
                f"Process {processes.id} of {processes.count} ends, as it has lost "
                "another one: see what that one said last, and start all of them again "
                "to go on from the last checkpoint."
            ) from error
        raise


def is_first_process() -> bool:
    """Whether this is process 0, or the only one."""
    return backend.process_id() == 0


def on_first_process(function: Callable, *args) -> Any:
    """What a function returns, or raises, in process 0; see `Processes.first`."""
    if backend.num_processes() == 1:
        return function(*args)
    outcome = b""
    if backend.process_id() == 0:
        try:
            outcome = pickle.dumps((function(*args), None))
        except Exception as error:
            outcome = _pickled(error)
    value, raised = pickle.loads(backend.broadcast(outcome))
    if raised is not None:
        raise raised
    return value


def _pickled(error):
    try:
        outcome = pickle.dumps((None, error))
        pickle.loads(outcome)
    except Exception:
        # Some hold what can't be sent.
        outcome = pickle.dumps((None, RuntimeError(f"{type(error).__name__}: {error}")))
    return outcome


def _join(job_addresses, num_processes, process_id, timeout):
    try:
        backend.join_processes(job_addresses, num_processes, process_id, timeout)
    except ValueError as error:
        raise ValueError(
            "`job_addresses`, `num_processes` and `process_id` must all be given, by "
            "argument or by KERAS_DISTRIBUTION_JOB_ADDRESSES, …_NUM_PROCESSES and "
            f"…_PROCESS_ID, where JAX can't find them out ({error}). Received: "
            f"job_addresses={job_addresses!r}, num_processes={num_processes}, "
            f"process_id={process_id}"
        ) from error


def _end_now():
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _settings(job_addresses, num_processes, process_id):
    """The three, from the environment where they are `None`, and checked."""
    if job_addresses is None:
        job_addresses = os.environ.get("KERAS_DISTRIBUTION_JOB_ADDRESSES")
    num_processes = _integer("num_processes", num_processes)
    process_id = _integer("process_id", process_id)
    if num_processes is not None:
        check_positive_integer("num_processes", num_processes)
    if process_id is not None:
        check_non_negative_integer("process_id", process_id)
        if num_processes is not None and process_id >= num_processes:
            raise ValueError(
                f"`process_id` must be less than `num_processes`, {num_processes}. "
                f"Received: process_id={process_id}"
            )
    if job_addresses is not None:
        _check_addresses(job_addresses, num_processes)
    return job_addresses, num_processes, process_id


def _integer(name, value):
    if value is not None:
        return value
    variable = f"KERAS_DISTRIBUTION_{name.upper()}"
    value = os.environ.get(variable)
    try:
        return None if value is None else int(value)
    except ValueError:
        raise ValueError(
            f"`{name}` must be an integer. Received: {variable}={value!r}"
        ) from None


def _check_addresses(job_addresses, num_processes):
    addresses = str(job_addresses).split(",")
    if not all(address.rpartition(":")[2].isdecimal() for address in addresses):
        raise ValueError(
            '`job_addresses` must be "host:port", or several with commas between them. '
            f"Received: job_addresses={job_addresses!r}"
        )
    if num_processes is not None and len(addresses) not in (1, num_processes):
        raise ValueError(
            "`job_addresses` must be that of process 0, or one for each of "
            f"`num_processes`, {num_processes}. "
            f"Received: job_addresses={job_addresses!r}"
        )
