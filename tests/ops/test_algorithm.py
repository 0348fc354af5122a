import numpy as np
import pytest

from keras_lru.ops import algorithm

from ..scans import SCANS


@pytest.fixture
def machine(monkeypatch):
    def make(longest_loop=None, accelerator=False, cuts_unknown_lengths=True):
        monkeypatch.setattr(
            algorithm, "cuts_unknown_lengths", lambda: cuts_unknown_lengths
        )
        monkeypatch.setattr(algorithm, "longest_loop", lambda: longest_loop)
        monkeypatch.setattr(algorithm, "has_accelerator", lambda: accelerator)

    return make


@pytest.mark.parametrize(
    ("longest_loop", "accelerator", "length", "expected"),
    [
        (None, False, 10**6, "sequential"),
        (None, False, None, "sequential"),
        (0, False, 1, "chunked"),
        (100, False, 100, "sequential"),
        (100, False, 101, "chunked"),
        (100, False, None, "chunked"),
        (None, True, 100, "associative"),
        (0, True, 100, "associative"),
    ],
)
def test_auto_scan_follows_the_machine(
    machine, longest_loop, accelerator, length, expected
):
    machine(longest_loop, accelerator)
    assert algorithm.resolve_scan("auto", length) == expected


def test_an_export_with_a_known_length_has_no_loop(machine):
    machine()
    assert algorithm.resolve_scan("auto", 100, batch=None) == "chunked"
    assert algorithm.resolve_scan("auto", None, batch=None) == "sequential"
    assert algorithm.resolve_scan("sequential", 100, batch=None) == "sequential"


def test_associative_scan_of_an_unknown_length_runs_in_chunks(machine):
    machine()
    assert algorithm.resolve_scan("associative", None) == "chunked"
    assert algorithm.resolve_scan(SCANS[-1], None) == "chunked"
    assert algorithm.resolve_scan("sequential", None) == "sequential"


def test_block_size_auto_grows_with_the_states_and_the_machine(machine):
    machine(None, accelerator=False)
    assert algorithm.resolve_block_size("auto", 1000, 512, 512, 384) == 1
    assert algorithm.resolve_block_size("auto", 1000, 128, 128, 256) == 4
    assert algorithm.resolve_block_size("auto", None, 1, 1, 1000) == 4
    machine(None, accelerator=True)
    assert algorithm.resolve_block_size("auto", 1000, 128, 128, 256) == 8
    assert algorithm.resolve_block_size("auto", 1000, 1, 1, 1000) == 16


@pytest.mark.parametrize(("length", "expected"), [(0, 1), (1, 1), (3, 3), (9, 8)])
def test_a_block_is_no_longer_than_the_sequence(length, expected):
    assert algorithm.resolve_block_size(8, length, 4, 4, 4) == expected


def test_block_size_of_an_unknown_length_is_taken_as_it_is(machine):
    machine()
    assert algorithm.resolve_block_size(8, None, 4, 4, 4) == 8


@pytest.mark.parametrize("size", [8, "auto"])
@pytest.mark.parametrize("scan", ["auto", *SCANS])
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
