import dataclasses
import shlex

import numpy as np
import pytest

from keras_lru.datasets import (
    ListOpsConfig,
    LraListops,
    Task,
    get_task,
    num_examples,
)
from keras_lru.datasets.__main__ import make_parser
from keras_lru.datasets.examples import (
    prepared_builder,
    read_images,
    read_tokens,
    tfds_split,
)

from .prepared import store_images, store_texts

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
    assert examples.labels.tolist() == [0, 1]
    assert examples.labels.dtype == np.int32
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
    (sequences,) = read_tokens(builder, TEXTS, "test", max_length=6).sequences
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
    examples = read_tokens(builder, task, "test", max_length=5)
    assert pixels(examples, 0) == [*b"abc", 7]
    assert pixels(examples, 1) == [*b"abcd", 7]


def test_a_pair_is_as_long_as_its_longer_text(tmp_path):
    task = dataclasses.replace(TEXTS, keys=("one", "two"))
    rows = [("a", "bcd"), ("efgh", "")]
    store_texts(tmp_path, "toy", "one", "two", test=rows)
    builder = prepared_builder(task, data_dir=tmp_path)
    examples = read_tokens(builder, task, "test", max_length=9)
    assert examples.lengths.tolist() == [3, 4]
    assert examples.sequences[1].pad([0], 3).tolist() == [[*b"bcd"]]


def test_the_last_tenth_of_train_is_held_out(tmp_path):
    train = [(str(number),) for number in range(30)]
    store_texts(tmp_path, "toy", "text", train=train, test=train[:5])
    task = dataclasses.replace(TEXTS, held_out=True)
    builder = prepared_builder(task, data_dir=tmp_path)
    labels = {
        split: read_tokens(builder, task, split, 4).labels.tolist()
        for split in ("train", "validation", "test")
    }
    assert labels == {
        "train": list(range(27)),
        "validation": [27, 28, 29],
        "test": list(range(5)),
    }
    for split, found in labels.items():
        assert num_examples(task, split, data_dir=tmp_path) == len(found)


def test_a_split_of_the_dataset_is_taken_where_there_is_one():
    assert tfds_split(get_task("listops"), "validation") == "validation"
    with pytest.raises(ValueError, match=r"`split` must be one of .* Received: split="):
        tfds_split(get_task("listops"), "all")


def missing(task, config=None, data_dir="nowhere"):
    with pytest.raises(FileNotFoundError, match="must be prepared in") as caught:
        num_examples(task, "train", config=config, data_dir=data_dir)
    return str(caught.value)


@pytest.mark.parametrize(
    ("task", "config", "words"),
    [
        ("listops", None, ["lra_listops", "--config", "default"]),
        ("listops", "tiny", ["lra_listops", "--config", "tiny"]),
        ("retrieval", None, ["lra_aan"]),
    ],
)
def test_missing_data_names_a_command_that_prepares_it(tmp_path, task, config, words):
    folder = tmp_path / "my data"
    command = missing(task, config, folder).split("`")[1]
    python, flag, module, *arguments = shlex.split(command)
    assert (python, flag, module) == ("python", "-m", "keras_lru.datasets")
    assert arguments == [*words, "--data-dir", str(folder)]
    make_parser().parse_args(arguments)


def test_missing_data_of_others_names_tfds(tmp_path):
    message = missing("smnist", data_dir=tmp_path)
    assert f"`tfds.load('mnist', data_dir='{tmp_path}')` downloads" in message
    assert "download=True" in message
    assert "'imdb_reviews/plain_text'" in missing("text", data_dir=tmp_path)


def test_missing_manual_data_says_what_to_fetch(tmp_path):
    assert "new_aan_pairs.train.tsv" in missing("retrieval", data_dir=tmp_path)


def test_missing_data_of_one_s_own_config_has_no_command(tmp_path):
    message = missing("listops", ListOpsConfig(seed=7), tmp_path)
    assert message.endswith("1.0.0. `download=True` prepares it.")


def test_download_generates_what_is_missing(tmp_path):
    config = ListOpsConfig(
        train_examples=3, validation_examples=2, test_examples=1, max_size=600
    )
    builder = prepared_builder(get_task("listops"), config, tmp_path, download=True)
    assert isinstance(builder, LraListops)
    assert num_examples("listops", "train", config=config, data_dir=tmp_path) == 3


def test_config_of_a_task_gives_way_to_another(tmp_path):
    task = dataclasses.replace(TEXTS, dataset="copy_memory/delay_100")
    assert "--config delay_100 " in missing(task, data_dir=tmp_path)
    assert "--config delay_200 " in missing(task, "delay_200", tmp_path)
