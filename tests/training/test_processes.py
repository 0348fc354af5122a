"""Which process writes, which reads, what all are told; see `test_two_processes`."""

import json

import keras
import numpy as np
import pytest

from keras_lru import backend
from keras_lru.training import (
    Processes,
    TrainingCheckpoint,
    data_parallel,
    join_processes,
)

X, Y = np.ones((8, 2), "float32"), np.ones((8, 1), "float32")


@pytest.fixture
def become(monkeypatch):
    """A function that makes this process one of two, by its number.

    What process 0 sends is kept for the other one, that takes its turn later.
    """
    sent = []

    def broadcast(data):
        if backend.process_id() == 0:
            sent.append(data)
            return data
        return sent.pop(0)

    def become(number):
        monkeypatch.setattr(backend, "process_id", lambda: number)
        return Processes()

    monkeypatch.setattr(backend, "num_processes", lambda: 2)
    monkeypatch.setattr(backend, "broadcast", broadcast)
    become.sent = sent
    return become


def test_one_process_joins_nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "1")
    monkeypatch.setenv("KERAS_DISTRIBUTION_PROCESS_ID", "0")
    with join_processes() as processes, processes.folder(tmp_path / "run") as folder:
        assert (processes.count, processes.id, processes.is_first) == (1, 0, True)
        assert processes.first(divmod, 7, 2) == (3, 1)
        assert folder == tmp_path / "run"
        with pytest.raises(KeyError):
            processes.first({}.__getitem__, "x")


def test_all_get_what_a_function_returns_in_process_0(become):
    processes = become(0)
    assert processes.is_first
    assert processes.first(lambda: {"epoch": 3}) == {"epoch": 3}
    processes = become(1)
    assert not processes.is_first
    assert processes.first(pytest.fail, "called in process 1") == {"epoch": 3}


def refuse(error):
    raise error


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (FileNotFoundError("no such run"), FileNotFoundError, "no such run"),
        (OSError(lambda: 0), RuntimeError, "OSError: <function"),
    ],
)
def test_all_get_what_a_function_raises_in_process_0(become, error, expected, message):
    for number in (0, 1):
        with pytest.raises(expected, match=message):
            become(number).first(refuse, error)


def test_files_of_process_0_alone_stay(become, tmp_path):
    for number in (0, 1):
        with become(number).folder(tmp_path / "run") as folder:
            folder.mkdir(exist_ok=True)
            (folder / "log").write_text(f"process {number}")
        assert folder.exists() == (number == 0)
    assert (tmp_path / "run" / "log").read_text() == "process 0"


def fit(path, epochs):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    checkpoint = TrainingCheckpoint(path)
    history = model.fit(
        *(X, Y),
        initial_epoch=checkpoint.epoch,
        epochs=epochs,
        callbacks=[checkpoint],
        verbose=0,
    )
    return history.history["loss"]


def test_process_0_writes_the_checkpoint_and_tells_what_is_in_it(become, tmp_path):
    whole = fit_alone(tmp_path / "alone.npz")
    here, elsewhere = tmp_path / "here" / "state.npz", tmp_path / "no" / "state.npz"
    for number, path in ((0, here), (1, elsewhere)):
        become(number)
        assert fit(path, 2) == whole[:2]
    for number, path in ((0, here), (1, elsewhere)):
        become(number)
        np.testing.assert_allclose(fit(path, 4), whole[2:], rtol=1e-6)
    assert here.exists()
    assert not elsewhere.parent.exists()


def fit_alone(path):
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(backend, "num_processes", lambda: 1)
        monkeypatch.setattr(backend, "process_id", lambda: 0)
        return fit(path, 4)


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        ({"num_processes": 0}, {}, "`num_processes` must be a positive integer"),
        ({"process_id": -1}, {}, "`process_id` must be an integer of at least 0"),
        (
            {"num_processes": 2, "process_id": 2},
            {},
            "`process_id` must be less than `num_processes`, 2",
        ),
        ({"job_addresses": "host"}, {}, '`job_addresses` must be "host:port"'),
        (
            {"job_addresses": "a:1,b:2"},
            {"NUM_PROCESSES": "3"},
            "`job_addresses` must be that of process 0, or one for each",
        ),
        ({}, {"PROCESS_ID": "one"}, "`process_id` must be an integer"),
        ({}, {"NUM_PROCESSES": ""}, "`num_processes` must be an integer"),
        ({"timeout": 0}, {}, "`timeout` must be a positive number of seconds"),
    ],
)
def test_refuses_arguments(monkeypatch, arguments, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(f"KERAS_DISTRIBUTION_{name}", value)
    with (
        pytest.raises(ValueError, match=rf"{message}.* Received"),
        join_processes(**arguments),
    ):
        pass


def test_other_backends_refuse_several_processes(monkeypatch):
    if keras.backend.backend() == "jax":
        pytest.skip("JAX computes in several processes")
    monkeypatch.setenv("KERAS_DISTRIBUTION_NUM_PROCESSES", "2")
    with (
        pytest.raises(NotImplementedError, match=r"on the backend 'jax'.* Received"),
        join_processes(),
    ):
        pass


def test_tensorflow_refuses_a_cluster_that_would_train_apart(monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("TensorFlow's own")
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    task = {"type": "worker", "index": 0}
    config = json.dumps({"cluster": cluster, "task": task})
    monkeypatch.setenv("TF_CONFIG", config)
    with (
        pytest.raises(NotImplementedError, match=r"Received: .*, 2 tasks in TF_CONFIG"),
        data_parallel(),
    ):
        pass


def test_says_what_jax_does_not_find_out(monkeypatch):
    if keras.backend.backend() != "jax":
        pytest.skip("JAX computes in several processes")

    def without_address(*arguments):
        raise ValueError("coordinator_address should be defined.")

    monkeypatch.setattr(backend, "join_processes", without_address)
    message = r"must all be given, .*coordinator_address should .* num_processes=2"
    with (
        pytest.raises(ValueError, match=message),
        join_processes(num_processes=2),
    ):
        pass
