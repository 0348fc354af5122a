"""A loop of PyTorch learns, and what it exports is what it trained."""

import re

import keras
import pytest

from .running import EXAMPLES, run_process

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "torch", reason="PyTorch's own"
)


def test_learns_and_carries_its_weights_over(tmp_path):
    arguments = ["--epochs", "2", "--units", "16", "--output-dir", tmp_path]
    process = run_process(EXAMPLES / "torch_loop.py", *arguments)
    assert process.returncode == 0, process.stderr
    losses = [float(x) for x in re.findall(r"loss (\d\.\d+)", process.stdout)]
    assert len(losses) == 2
    assert losses[1] < losses[0]
    difference = re.search(r"largest difference (\S+)", process.stdout)
    # The same operations, in another order.
    assert float(difference[1]) < 1e-4
