"""Examples run as their users run them, or in the process of the tests."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import keras

EXAMPLES = Path(__file__).parents[2] / "examples"


def run_here(monkeypatch, script, *arguments):
    """Runs a script in this process, which has imported all that it needs."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    policy = keras.config.dtype_policy()
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        keras.config.set_dtype_policy(policy)


def run_process(*command, environment=None, **options):
    """Runs Python on `command`; `environment` names variables, None for those unset."""
    variables = {**os.environ, **(environment or {})}
    return subprocess.run(
        [sys.executable, *map(str, command)],
        env={name: value for name, value in variables.items() if value is not None},
        capture_output=True,
        text=True,
        **options,
    )
