import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru.datasets.reading.batches import Batches

BUCKETS = (4, 8, 12, 16)
LENGTHS = st.lists(st.integers(0, 16), min_size=1, max_size=60)


def epoch(batches, number=0):
    steps = batches.steps_per_epoch
    return [batches(step) for step in range(number * steps, (number + 1) * steps)]


def examples(epoch):
    return [index for indices, _ in epoch for index in indices.tolist()]


@given(LENGTHS, st.integers(1, 9), st.sampled_from([None, 0, 3]), st.integers(0, 5))
@settings(deadline=None, max_examples=100)
def test_every_epoch_has_every_example_once(lengths, size, seed, number):
    batches = epoch(Batches(lengths, size, BUCKETS, False, seed), number)
    assert sorted(examples(batches)) == list(range(len(lengths)))
    assert [len(indices) for indices, _ in batches[:-1]] == [size] * (len(batches) - 1)


@given(LENGTHS, st.integers(1, 9), st.sampled_from([None, 0, 3]), st.integers(0, 5))
@settings(deadline=None, max_examples=100)
def test_dropping_the_remainder_keeps_full_batches(lengths, size, seed, number):
    if size > len(lengths):
        with pytest.raises(ValueError, match=r"`batch_size` must be at most .* Rec"):
            Batches(lengths, size, BUCKETS, True, seed)
        return
    batches = epoch(Batches(lengths, size, BUCKETS, True, seed), number)
    assert len(batches) == len(lengths) // size
    assert all(len(indices) == size for indices, _ in batches)
    assert len(set(examples(batches))) == size * len(batches)


@given(LENGTHS, st.integers(1, 9), st.sampled_from([None, 1]))
@settings(deadline=None, max_examples=100)
def test_batches_are_padded_to_a_bucket_that_is_long_enough(lengths, size, seed):
    for indices, padded in epoch(Batches(lengths, size, BUCKETS, False, seed)):
        assert padded in BUCKETS
        assert max(lengths[index] for index in indices) <= padded


def test_examples_of_about_the_same_length_go_together():
    lengths = np.arange(1000) % 17
    batches = epoch(Batches(lengths, 10, BUCKETS, False, seed=0))
    mixed = sum(
        np.searchsorted(BUCKETS, lengths[indices]).min() != BUCKETS.index(padded)
        for indices, padded in batches
    )
    # Only what is left at the end of the epoch goes with longer ones.
    assert mixed <= len(BUCKETS) - 1


def test_order_of_the_data_is_kept_without_a_seed():
    batches = epoch(Batches([5] * 7, 3, BUCKETS, False))
    assert [indices.tolist() for indices, _ in batches] == [[0, 1, 2], [3, 4, 5], [6]]
    assert {padded for _, padded in batches} == {8}


def test_batches_come_when_they_are_full():
    #                   0  1  2  3  4  5  6
    batches = Batches([16, 1, 16, 2, 3, 4, 16], 2, BUCKETS, False)
    assert [(indices.tolist(), padded) for indices, padded in epoch(batches)] == [
        ([0, 2], 16),
        ([1, 3], 4),
        ([4, 5], 4),
        ([6], 16),
    ]


def test_what_is_left_goes_to_the_next_bucket_in_use():
    # Nothing needs 8 or 12, and nothing is padded to them.
    batches = Batches([1, 2, 3, 16], 2, BUCKETS, False)
    assert batches.buckets == [4, 16]
    assert [(indices.tolist(), padded) for indices, padded in epoch(batches)] == [
        ([0, 1], 4),
        ([3, 2], 16),
    ]


def test_epochs_seeds_and_names_shuffle_differently():
    def order(number=0, seed=0, name="a"):
        return examples(epoch(Batches([1] * 50, 5, BUCKETS, True, seed, name), number))

    orders = [order(), order(1), order(seed=1), order(name="b"), list(range(50))]
    assert len({tuple(order) for order in orders}) == len(orders)
    assert order(7) == order(7)


def test_any_step_may_come_first():
    lengths, steps = np.arange(40) % 17, [33, 2, 17, 2, 0, 99]
    batches = Batches(lengths, 6, BUCKETS, True, seed=0)
    in_order = {step: batches(step) for step in range(100)}
    fresh = Batches(lengths, 6, BUCKETS, True, seed=0)
    for step in steps:
        (indices, padded), (expected, expected_padded) = fresh(step), in_order[step]
        np.testing.assert_array_equal(indices, expected)
        assert padded == expected_padded


@given(LENGTHS, st.integers(1, 3), st.integers(1, 4), st.sampled_from([None, 0]))
@settings(deadline=None, max_examples=100)
def test_shards_side_by_side_are_the_batch(lengths, rows, shards, seed):
    size = rows * shards
    arguments = (lengths, size, BUCKETS, True, seed)
    if size > len(lengths):
        return
    parts = [
        epoch(Batches(*arguments, num_shards=shards, shard_index=index))
        for index in range(shards)
    ]
    for (whole, padded), *of_shards in zip(
        epoch(Batches(*arguments)), *parts, strict=True
    ):
        assert {length for _, length in of_shards} == {padded}
        assert [len(indices) for indices, _ in of_shards] == [rows] * shards
        np.testing.assert_array_equal(
            np.concatenate([indices for indices, _ in of_shards]), whole
        )


def test_shards_of_a_batch_that_is_not_full_are_refused():
    with pytest.raises(ValueError, match=r"`drop_remainder` must be True .* 1 of 4 .*"):
        Batches([1] * 9, 4, BUCKETS, False, num_shards=2)
    assert Batches([1] * 8, 4, BUCKETS, False, num_shards=2)(1)[0].tolist() == [4, 5]
