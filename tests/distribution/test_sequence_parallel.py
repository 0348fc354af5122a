"""Time split over devices: what is refused here, and all else on eight devices."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras.distribution import DeviceMesh

from keras_lru.distribution import sequence_parallel

on_jax = pytest.mark.skipif(keras.backend.backend() != "jax", reason="JAX's own")


def mesh():
    return DeviceMesh((1, 1), ["batch", "seq"], ["cpu:0"])


@pytest.mark.skipif(keras.backend.backend() == "jax", reason="JAX has it")
def test_other_backends_refuse_it():
    message = "Time is split over devices on the backend 'jax'. Received: backend="
    refused = pytest.raises(NotImplementedError, match=message)
    with refused, sequence_parallel(mesh(), time="seq"):
        pass


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"time": "time"}, "`time` must be the name of an axis of `mesh`, one of"),
        ({"time": "seq", "batch": "rows"}, "`batch` must be the name of an axis"),
        ({"time": "seq", "batch": "seq"}, "`batch` must be another axis"),
        ({"mesh": 8}, "`mesh` must be a keras.distribution.DeviceMesh or a jax"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    refused = pytest.raises(ValueError, match=message)
    with refused, sequence_parallel(**{"mesh": mesh(), **arguments}):
        pass


@on_jax
def test_a_mesh_of_jax_will_do():
    import jax

    devices = jax.devices()[:1]
    given = jax.sharding.Mesh(devices, ("seq",))
    with sequence_parallel(given, time="seq") as stretches:
        assert stretches == 1
        layout = keras.distribution.distribution().get_data_layout((2, 6, 3))
        assert tuple(layout.axes) == (None, "seq", None)


@on_jax
@pytest.mark.parametrize(
    "which", ["not slow", pytest.param("slow", marks=pytest.mark.slow)]
)
def test_on_eight_devices(which):
    flags = os.environ.get("XLA_FLAGS", "")
    flags += " --xla_force_host_platform_device_count=8"
    tests = Path(__file__).with_name("on_eight_devices.py")
    process = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-m", which, tests],
        env={**os.environ, "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stdout


@on_jax
@pytest.mark.slow
def test_two_processes_train_as_one():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    flags = os.environ.get("XLA_FLAGS", "")
    flags += " --xla_force_host_platform_device_count=2"
    script = Path(__file__).with_name("one_process.py")
    processes = [
        subprocess.Popen(
            [sys.executable, script, str(process), str(port)],
            env={**os.environ, "XLA_FLAGS": flags},
            stdout=subprocess.PIPE,
            text=True,
        )
        for process in (-1, 0, 1)
    ]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    alone, *together = (json.loads(text.splitlines()[-1]) for text in outputs)
    for losses in together:
        np.testing.assert_allclose(losses, alone, rtol=1e-5)
