import numpy as np
import pytest

from keras_lru.ops import algorithm


@pytest.fixture
def machine(monkeypatch):
    def make(compiled_loops=True, accelerator=False, cuts_unknown_lengths=True):
        monkeypatch.setattr(
            algorithm, "cuts_unknown_lengths", lambda: cuts_unknown_lengths
        )
        monkeypatch.setattr(algorithm, "has_compiled_loops", lambda: compiled_loops)
        monkeypatch.setattr(algorithm, "has_accelerator", lambda: accelerator)

    return make


@pytest.mark.parametrize(
    ("compiled_loops", "accelerator", "expected"),
    [
        (True, False, "sequential"),
        (False, False, "chunked"),
        (True, True, "associative"),
        (False, True, "associative"),
    ],
)
def test_auto_scan_follows_the_machine(machine, compiled_loops, accelerator, expected):
    machine(compiled_loops, accelerator)
    assert algorithm.resolve_scan("auto", 100) == expected


def test_associative_scan_of_an_unknown_length_runs_in_chunks(machine):
    machine()
    assert algorithm.resolve_scan("associative", None) == "chunked"
    assert algorithm.resolve_scan("sequential", None) == "sequential"


def test_block_size_auto_grows_with_the_states_and_the_machine(machine):
    machine(True, accelerator=False)
    assert algorithm.resolve_block_size("auto", 1000, 512, 512, 384) == 1
    assert algorithm.resolve_block_size("auto", 1000, 128, 128, 256) == 4
    assert algorithm.resolve_block_size("auto", None, 1, 1, 1000) == 4
    machine(True, accelerator=True)
    assert algorithm.resolve_block_size("auto", 1000, 128, 128, 256) == 8
    assert algorithm.resolve_block_size("auto", 1000, 1, 1, 1000) == 16


@pytest.mark.parametrize(("length", "expected"), [(0, 1), (1, 1), (3, 3), (9, 8)])
def test_a_block_is_no_longer_than_the_sequence(length, expected):
    assert algorithm.resolve_block_size(8, length, 4, 4, 4) == expected


def test_block_size_of_an_unknown_length_is_taken_as_it_is(machine):
    machine()
    assert algorithm.resolve_block_size(8, None, 4, 4, 4) == 8


@pytest.mark.parametrize("size", [8, "auto"])
@pytest.mark.parametrize("scan", algorithm.SCANS)
def test_an_unknown_length_that_cannot_be_cut_runs_step_by_step(machine, scan, size):
    machine(cuts_unknown_lengths=False)
    assert algorithm.resolve_scan(scan, None) == "sequential"
    assert algorithm.resolve_block_size(size, None, 4, 4, 400) == 1
    assert algorithm.resolve_channelwise_block_size(size, None) == 1


def test_block_size_may_be_an_integer_of_numpy():
    assert type(algorithm.check_block_size(np.int64(4))) is int


@pytest.mark.parametrize("block_size", [0, -1, 1.5, True, "big", None])
def test_wrong_block_size_is_named(block_size):
    with pytest.raises(
        ValueError, match=r"`block_size` must be .*Received: block_size"
    ):
        algorithm.check_block_size(block_size)


@pytest.mark.parametrize("scan", ["Auto", "", None, 3])
def test_wrong_scan_is_named(scan):
    with pytest.raises(ValueError, match=r"`scan` must be one of .*Received: scan"):
        algorithm.check_scan(scan)
