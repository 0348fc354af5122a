"""Prepared datasets that are not whole any more: which file, and what to do."""

import dataclasses
import shutil

import pytest
import tensorflow as tf

from keras_lru.datasets import CopyMemoryConfig, Task, get_task, load, num_examples

from .stored import store_images, store_texts

GENERATED = CopyMemoryConfig(
    train_examples=30, validation_examples=2, test_examples=2, delay=3
)
TEXTS = Task("texts", "my_texts", ("text",), 100, length=4, vocabulary_size=256)
IMAGES = Task("images", "my_images", ("image",), num_classes=1000, length=4)
DATASETS = {
    "copy_memory": (get_task("copy_memory"), GENERATED),
    "my_texts": (TEXTS, None),
    "my_images": (IMAGES, None),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with the three datasets."""
    folder = tmp_path_factory.mktemp("whole")
    texts = [(f"text {number}",) for number in range(30)]
    store_texts(folder, "my_texts", "text", train=texts)
    images = tf.cast(tf.random.uniform((30, 2, 2, 1), 0, 255, seed=0), tf.uint8)
    store_images(folder, "my_images", train=images.numpy())
    read("copy_memory", folder, download=True)
    return folder


def read(name, folder, split="train", **options):
    task, config = DATASETS[name]
    return load(task, split, 10, config=config, data_dir=str(folder), **options)


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def empty(path):
    path.write_bytes(b"")


def delete(path):
    path.unlink()


@pytest.fixture
def damaged(whole, tmp_path):
    """Copies the folder and damages a file; gives the file."""

    def damage(name, file, how):
        shutil.copytree(whole, tmp_path / "data")
        (path,) = (tmp_path / "data" / name).rglob(file)
        how(path)
        return path

    return damage


AGAIN = {
    "copy_memory": "`download=True` prepares it.",
    "my_texts": "Write it again, as it was written before.",
    "my_images": "Write it again, as it was written before.",
}


@pytest.mark.parametrize(
    ("name", "file", "how", "what"),
    [
        ("copy_memory", "*-train.*", delete, "is missing"),
        ("copy_memory", "*-train.*", flip, "is damaged"),
        ("copy_memory", "*-train.*", empty, "has 0 of 30 examples"),
        ("my_texts", "*-train.*", cut, "has 15 of 30 examples"),
        ("my_images", "*-train.*", delete, "is missing"),
        ("my_images", "*-train.*", flip, "is damaged"),
        ("copy_memory", "dataset_info.json", delete, "is missing"),
        ("copy_memory", "dataset_info.json", cut, "is damaged"),
        ("copy_memory", "dataset_info.json", flip, "is damaged"),
        ("copy_memory", "1.0.0/metadata.json", cut, "is damaged"),
        ("my_texts", "dataset_info.json", delete, "is missing"),
        ("my_texts", "features.json", delete, "is missing"),
        ("my_texts", "features.json", empty, "is damaged"),
    ],
)
def test_the_file_is_named(damaged, tmp_path, name, file, how, what):
    path = damaged(name, file, how)
    with pytest.raises(OSError, match=what) as caught:
        read(name, tmp_path / "data")
    message = str(caught.value)
    assert message.startswith(f"{path}, of the dataset {name}")
    assert message.endswith(f"{what}. Delete {path.parent}. {AGAIN[name]}")
    assert isinstance(caught.value, FileNotFoundError) is (how is delete)


def test_what_it_says_helps(damaged, tmp_path):
    path = damaged("copy_memory", "dataset_info.json", delete)
    with pytest.raises(FileNotFoundError, match="Delete"):
        read("copy_memory", tmp_path / "data", download=True)
    shutil.rmtree(path.parent)
    assert len(read("copy_memory", tmp_path / "data", download=True)) == 3


def test_other_splits_are_read(damaged, tmp_path):
    damaged("copy_memory", "*-train.*", flip)
    assert len(read("copy_memory", tmp_path / "data", split="test")) == 1


def test_other_errors_stay_as_they_are(whole):
    task = dataclasses.replace(TEXTS, dataset="no_such_texts")
    with pytest.raises(ValueError, match="no_such_texts not found"):
        num_examples(task, "train", data_dir=whole)
    task = get_task("copy_memory")
    with pytest.raises(ValueError, match="no_such_config"):
        num_examples(task, "train", config="no_such_config", data_dir=whole)


def test_formats_that_only_a_data_source_reads_are_refused(damaged, tmp_path):
    def say_array_record(path):
        text = path.read_text()
        assert '"fileFormat": "tfrecord"' in text
        path.write_text(text.replace('"tfrecord"', '"array_record"'))

    damaged("my_texts", "dataset_info.json", say_array_record)
    with pytest.raises(ValueError, match=r"Received: my_texts.*='array_record'"):
        read("my_texts", tmp_path / "data")
