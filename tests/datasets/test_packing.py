"""Many sequences in rows of one length, and out again."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_lru.datasets import pack


@given(
    lengths=st.lists(st.integers(1, 12), min_size=1, max_size=30),
    room=st.integers(0, 20),
)
def test_what_is_packed_comes_out_again(lengths, room):
    values = iter(range(1, 10**6))
    sequences = [[next(values) for _ in range(steps)] for steps in lengths]
    length = max(lengths) + room
    packed = pack(sequences, length)
    assert [x.tolist() for x in packed.unpack(packed.inputs)] == sequences
    # Nothing else is in the rows, and each value once.
    assert sorted(packed.inputs[packed.sample_weight > 0]) == sorted(
        itertools.chain(*sequences)
    )
    assert not packed.inputs[packed.sample_weight == 0].any()
    assert packed.sample_weight.sum() == sum(lengths)
    # Each begins where its first value is; and so does what is left of a row.
    firsts = [sequence[0] for sequence in sequences]
    begins = packed.reset & (packed.sample_weight > 0)
    assert sorted(packed.inputs[begins]) == sorted(firsts)
    left = packed.reset & (packed.sample_weight == 0)
    assert left.sum() == (packed.sample_weight.sum(axis=1) < length).sum()
    # No two rows would fit into one.
    steps = np.sort(packed.sample_weight.sum(axis=1))
    assert len(steps) == 1 or steps[0] + steps[1] > length


def test_features_targets_and_outputs():
    rng = np.random.default_rng(0)
    sequences = [rng.normal(size=(steps, 3)) for steps in (4, 2, 5, 1)]
    targets = [rng.normal(size=(len(x), 2)).astype("float32") for x in sequences]
    packed = pack(sequences, 6)
    assert packed.inputs.shape == (2, 6, 3)
    assert packed.inputs.dtype == "float64"
    y = packed.pack(targets)
    assert y.shape == (2, 6, 2)
    assert y.dtype == "float32"
    for found, expected in zip(packed.unpack(y), targets, strict=True):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("sequences", "length", "message"),
    [
        ([], 4, "`sequences` must hold a sequence"),
        ([[1], []], 4, r"`sequences` must have a step each.*sequence 1"),
        ([[1, 2, 3]], 2, r"`length` must be .* 3.*length=2"),
        ([[1]], 0, "`length` must be a positive integer.*length=0"),
        ([[[1, 2]], [[1]]], 4, r"`sequences` must be .*\(1, 2\), \(1, 1\)"),
        ([1, 2], 4, r"`sequences` must be arrays of steps alike"),
    ],
)
def test_what_cannot_be_packed_is_refused(sequences, length, message):
    with pytest.raises(ValueError, match=message):
        pack(sequences, length)


def test_what_does_not_belong_is_refused():
    packed = pack([[1, 2], [3]], 4)
    with pytest.raises(ValueError, match=r"`values` must have .* \[2, 1\].* \[1, 2\]"):
        packed.pack([[1], [2, 3]])
    with pytest.raises(ValueError, match=r"`outputs` must have .*\(1, 4, .*\(4, 1\)"):
        packed.unpack(np.zeros((4, 1)))
