import dataclasses

import numpy as np
import pytest

from keras_lru.datasets import Task
from keras_lru.datasets.reading.prepared_builder import prepared_builder
from keras_lru.datasets.reading.split_in_memory import read_images, read_sequences

from .stored import store_images, store_texts

IMAGES = Task("toy", "toy", ("image",), num_classes=9, length=4, features=1)
TEXTS = Task("toy", "toy", ("text",), num_classes=9, length=4, vocabulary_size=256)


def pixels(examples, index):
    (sequences,) = examples.sequences
    return sequences.pad([index], int(sequences.lengths[index]))[0].tolist()


def test_images_are_read_row_by_row(tmp_path):
    images = np.arange(2 * 2 * 3 * 1, dtype=np.uint8).reshape(2, 2, 3, 1)
    store_images(tmp_path, "toy", test=images)
    builder = prepared_builder(IMAGES, data_dir=tmp_path)
    examples = read_images(builder, IMAGES, "test")
    assert pixels(examples, 0) == [[0], [1], [2], [3], [4], [5]]
    assert pixels(examples, 1) == [[6], [7], [8], [9], [10], [11]]
    assert examples.targets.tolist() == [0, 1]
    assert examples.lengths.tolist() == [6, 6]


def test_colours_are_features_of_a_step(tmp_path):
    store_images(
        tmp_path, "toy", test=np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)
    )
    builder = prepared_builder(IMAGES, data_dir=tmp_path)
    assert pixels(read_images(builder, IMAGES, "test"), 0) == [
        [0, 1, 2],
        [3, 4, 5],
        [6, 7, 8],
        [9, 10, 11],
    ]


def test_grey_is_the_luma_of_colours(tmp_path):
    image = [[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]]
    store_images(tmp_path, "toy", test=np.array([image], np.uint8))
    builder = prepared_builder(IMAGES, data_dir=tmp_path)
    examples = read_images(builder, IMAGES, "test", grayscale=True)
    # 0.299, 0.587 and 0.114 of 255.
    assert pixels(examples, 0) == [[76], [150], [29], [255]]


def test_smaller_images_are_means_of_squares(tmp_path):
    image = np.array([[0, 2, 10, 10], [4, 6, 10, 12]], np.uint8)
    store_images(tmp_path, "toy", test=image[None, :, :, None])
    builder = prepared_builder(IMAGES, data_dir=tmp_path)
    examples = read_images(builder, IMAGES, "test", downsample=2)
    # 10.5 is rounded to the even number.
    assert pixels(examples, 0) == [[3], [10]]
    with pytest.raises(ValueError, match=r"`downsample` must divide .* 2 and 4. Rece"):
        read_images(builder, IMAGES, "test", downsample=3)


def test_permutation_is_one_for_all_images_and_splits(tmp_path):
    same = np.arange(16, dtype=np.uint8).reshape(1, 4, 4, 1)
    store_images(tmp_path, "toy", train=same, test=np.repeat(same, 2, axis=0))
    builder = prepared_builder(IMAGES, data_dir=tmp_path)
    permuted = dataclasses.replace(IMAGES, permuted=True)
    train, test = (read_images(builder, permuted, s) for s in ("train", "test"))
    assert pixels(train, 0) == pixels(test, 0) == pixels(test, 1)
    order = [value for (value,) in pixels(train, 0)]
    assert order != sorted(order)
    assert sorted(order) == list(range(16))
    other = read_images(builder, permuted, "train", permutation_seed=1)
    assert pixels(other, 0) != pixels(train, 0)


def test_texts_are_cut_bytes(tmp_path):
    rows = [("Ünder",), ("",), ("abcdefg",)]
    store_texts(tmp_path, "toy", "text", test=rows)
    builder = prepared_builder(TEXTS, data_dir=tmp_path)
    (sequences,) = read_sequences(builder, TEXTS, "test", max_length=6).sequences
    assert sequences.lengths.tolist() == [6, 0, 6]
    assert [row.tobytes() for row in sequences.pad([0, 1, 2], 6)] == [
        "Ünder".encode(),
        bytes(6),
        b"abcdef",
    ]


def test_the_end_token_is_kept_when_a_sequence_is_cut(tmp_path):
    store_texts(tmp_path, "toy", "text", test=[("abc",), ("abcdefg",)])
    task = dataclasses.replace(TEXTS, end_token=7)
    builder = prepared_builder(task, data_dir=tmp_path)
    examples = read_sequences(builder, task, "test", max_length=5)
    assert pixels(examples, 0) == [*b"abc", 7]
    assert pixels(examples, 1) == [*b"abcd", 7]


def test_a_pair_is_as_long_as_its_longer_text(tmp_path):
    task = dataclasses.replace(TEXTS, keys=("one", "two"))
    rows = [("a", "bcd"), ("efgh", "")]
    store_texts(tmp_path, "toy", "one", "two", test=rows)
    builder = prepared_builder(task, data_dir=tmp_path)
    examples = read_sequences(builder, task, "test", max_length=9)
    assert examples.lengths.tolist() == [3, 4]
    assert examples.sequences[1].pad([0], 3).tolist() == [[*b"bcd"]]
