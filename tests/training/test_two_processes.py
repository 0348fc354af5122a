"""Two processes that train one model: one loss curve, and one that may be killed."""

import json
import signal
import time

import keras
import numpy as np
import pytest

from tests.processes import finish, start

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        keras.backend.backend() != "jax",
        reason="Keras trains in several processes on JAX",
    ),
]
PROGRAM = ("-m", "tests.training.shared_training")


def train(count, *arguments):
    """What each process has logged."""
    logged = []
    for code, output, errors in finish(start(count, *PROGRAM, *arguments)):
        assert code == 0, errors
        # Lines before are of what connects them.
        logged.append(json.loads(output.splitlines()[-1]))
    return logged


def assert_same(logged, whole, epochs=slice(None)):
    assert logged.keys() == whole.keys()
    for name in logged.keys() - {"tested"}:
        np.testing.assert_allclose(logged[name], whole[name][epochs], rtol=1e-5)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What one process has logged."""
    return train(1, tmp_path_factory.mktemp("one") / "state.npz", 4)[0]


def test_they_have_the_loss_curve_of_one(whole, tmp_path):
    first, second = train(2, tmp_path / "state.npz", 4)
    assert first == second
    assert_same(first, whole)
    assert first["tested"] == pytest.approx(whole["tested"], rel=1e-5)


def test_a_kill_ends_both_and_any_number_goes_on(whole, tmp_path):
    path = tmp_path / "state.npz"
    start_time = time.monotonic()
    survivor, killed = finish(start(2, *PROGRAM, path, 4, 2))
    assert killed[0] == -signal.SIGKILL
    assert survivor[0] not in (0, None)
    assert "Process 0 of 2 ends, as it has lost another one" in survivor[2]
    assert time.monotonic() - start_time < 120
    assert_same(train(1, path, 3)[0], whole, slice(2, 3))
    for logged in train(2, path, 4):
        assert_same(logged, whole, slice(3, 4))
