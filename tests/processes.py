"""Several processes of one program, that meet on this machine."""

import os
import socket
import subprocess
import sys


def start(count, *command, environment=None):
    """Starts Python on `command` in `count` processes that are told of each other.

    Returns:
        A list of `subprocess.Popen`.
    """
    with socket.socket() as one:
        one.bind(("localhost", 0))
        address = f"localhost:{one.getsockname()[1]}"
    variables = {
        **os.environ,
        **(environment or {}),
        "KERAS_DISTRIBUTION_JOB_ADDRESSES": address,
        "KERAS_DISTRIBUTION_NUM_PROCESSES": str(count),
    }
    return [
        subprocess.Popen(
            [sys.executable, *map(str, command)],
            env={**variables, "KERAS_DISTRIBUTION_PROCESS_ID": str(number)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(count)
    ]


def finish(processes, timeout=300):
    """Waits for them; returns of each `(returncode, stdout, stderr)`."""
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [
        (process.returncode, *output)
        for process, output in zip(processes, outputs, strict=True)
    ]
