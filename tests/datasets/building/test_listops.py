import collections
import shutil

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_lru.datasets import ListOpsConfig, LraListops
from keras_lru.datasets.generating.listops_trees import draw_trees, to_text

from ..conftest import DUMMY_DATA
from ..generating import listops_reference as reference

DUMMY = {"train_examples": 3, "validation_examples": 1, "test_examples": 2}


def prepared(data_dir, config, manual_dir=None, **kwargs):
    builder = LraListops(data_dir=data_dir, config=config, **kwargs)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def examples(builder, split):
    return list(tfds.as_numpy(builder.as_dataset(split=split)))


def texts(builder, split):
    return sorted(to_text(example["tokens"]) for example in examples(builder, split))


@pytest.fixture
def original(tmp_path):
    """Writes a file of the benchmark anew, then prepares."""
    manual = shutil.copytree(DUMMY_DATA / "listops", tmp_path / "manual")

    def prepare(name=None, content=None):
        if content is not None:
            (manual / name).write_bytes(content)
        config = ListOpsConfig(original=True, **DUMMY)
        return prepared(tmp_path / "data", config, manual)

    return prepare


def test_default_config_has_the_benchmark_s_sizes():
    config = LraListops.BUILDER_CONFIGS[0]
    assert config.name == "default"
    assert config.settings() == {
        "train_examples": 96_000,
        "validation_examples": 2_000,
        "test_examples": 2_000,
        "seed": 0,
        "max_depth": 10,
        "max_arguments": 10,
        "min_size": 500,
        "max_size": 2000,
        "original": False,
    }


def test_examples_are_the_drawn_trees_in_the_generator_s_splits(tmp_path):
    config = ListOpsConfig(
        train_examples=7, validation_examples=4, test_examples=3, seed=5
    )
    builder = prepared(tmp_path, config)
    for split, count in {"train": 7, "validation": 4, "test": 3}.items():
        drawn = draw_trees(range(count), config.tree_spec(), seed=5, split=split)
        expected = sorted(to_text(tree["tokens"]) for tree in drawn)
        assert texts(builder, split) == expected
        for example in examples(builder, split):
            tree = reference.parse(to_text(example["tokens"]))
            assert reference.evaluate(tree) == example["label"]
            assert example["tokens"].dtype == np.uint8


def test_loads_by_name(tmp_path):
    dataset, info = tfds.load(
        "lra_listops/tiny", split="test", data_dir=tmp_path, with_info=True
    )
    assert info.splits["test"].num_examples == len(dataset) == 500
    sizes = [len(example["tokens"]) for example in tfds.as_numpy(dataset)]
    assert 20 < min(sizes) <= max(sizes) < 100


def test_no_tree_comes_twice(tmp_path):
    # 400 trees there are, of an operator and two digits: some are drawn twice.
    few = {"max_depth": 2, "max_arguments": 2, "min_size": 3, "max_size": 5}
    config = ListOpsConfig(
        train_examples=60, validation_examples=30, test_examples=50, **few
    )
    drawn = collections.Counter(
        tree["tokens"].tobytes()
        for split in ("train", "validation", "test")
        for tree in draw_trees(
            range(config.num_examples(split)), config.tree_spec(), 0, split
        )
    )
    assert max(drawn.values()) > 1
    builder = prepared(tmp_path / "one", config)
    kept = [text for split in builder.info.splits for text in texts(builder, split)]
    assert len(kept) == len(set(kept)) == 140
    again = prepared(tmp_path / "other", config)
    assert texts(again, "test") == texts(builder, "test")


def test_more_trees_than_there_are_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("keras_lru.datasets.building.listops._MAX_DRAWS", 100)
    few = {"max_depth": 2, "max_arguments": 2, "min_size": 3, "max_size": 5}
    with pytest.raises(ValueError, match="`config` must allow for more different"):
        prepared(tmp_path, ListOpsConfig(train_examples=401, **few))


def test_original_files_are_read_without_parentheses(original):
    builder = original()
    assert texts(builder, "train") == ["5", "[MAX 3 7 ]", "[SM [MED 1 8 ] 3 7 ]"]
    assert texts(builder, "validation") == ["[MIN 4 2 ]"]
    for split in builder.info.splits:
        for example in examples(builder, split):
            tree = reference.parse(to_text(example["tokens"]))
            assert reference.evaluate(tree) == example["label"]


def test_missing_folder_says_what_to_fetch(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"listops-1000 of .*lra_release.gz"):
        prepared(tmp_path, "original")


def test_missing_file_says_what_to_fetch_and_where_to_put_it(tmp_path):
    manual = tmp_path / "manual"
    manual.mkdir()
    (manual / "basic_train.tsv").touch()
    with pytest.raises(FileNotFoundError) as caught:
        prepared(tmp_path, "original", manual)
    message = str(caught.value)
    assert f"{manual} must hold" in message
    assert "Missing: basic_val.tsv, basic_test.tsv." in message
    assert "lra_release.gz" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"5\t5\r\n", r"line 1, must have the header"),
        (b"", r"must have 3 rows. Received: 0 rows"),
        (b"Source\tTarget\r\n5\t5\r\n", r"must have 3 rows. Received: 1 rows"),
        (b"Source\tTarget\r\n5\t5\r\n5\r\n", r"line 3, must have 2 tab-separated"),
        (b"Source\tTarget\r\n5\t5\t5\r\n", r"line 2, must have 2 tab-separated"),
        (b"Source\tTarget\r\n( [MAX 3\t3\r\n", r"line 2, must have a whole expression"),
        (b"Source\tTarget\r\n[AVG 3 ]\t3\r\n", r"line 2, must have a whole expression"),
        (b"Source\tTarget\r\n5\t10\r\n", r"line 2, must have a label from 0 to 9"),
        (b"Source\tTarget\r\n5\t\r\n", r"line 2, must have a label from 0 to 9"),
        (b"Source\tTarget\r\n5\t5\r\n5\t5", r"line 3, must have a newline at its end"),
    ],
)
def test_bad_file_is_told_with_its_line(original, tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"basic_train\.tsv.* {message}"):
        original("basic_train.tsv", content)
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))


@pytest.mark.parametrize("name", ["max_depth", "min_size", "train_examples"])
def test_refuses_a_setting(name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
        ListOpsConfig(**{name: 0})
