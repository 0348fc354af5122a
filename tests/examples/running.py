"""Examples run in the process of the tests."""

import runpy
import sys

import keras


def run_here(monkeypatch, script, *arguments):
    """Runs a script in this process, which has imported all that it needs."""
    monkeypatch.setattr(sys, "argv", [str(script), *map(str, arguments)])
    policy = keras.config.dtype_policy()
    try:
        runpy.run_path(str(script), run_name="__main__")
    finally:
        keras.config.set_dtype_policy(policy)
