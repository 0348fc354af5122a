import dataclasses
import shlex

import pytest

from keras_lru.datasets import ListOpsConfig, LraListops, Task, get_task, num_examples
from keras_lru.datasets.__main__ import make_parser
from keras_lru.datasets.reading.dataset_checks import tfds_split
from keras_lru.datasets.reading.prepared_builder import prepared_builder
from keras_lru.datasets.reading.split_in_memory import read_sequences

from .stored import store_texts

TEXTS = Task("toy", "toy", ("text",), num_classes=30, length=4, vocabulary_size=256)


def test_the_last_tenth_of_train_is_held_out(tmp_path):
    train = [(str(number),) for number in range(30)]
    store_texts(tmp_path, "toy", "text", train=train, test=train[:5])
    task = dataclasses.replace(TEXTS, held_out=True)
    builder = prepared_builder(task, data_dir=tmp_path)
    labels = {
        split: read_sequences(builder, task, split, 4).targets.tolist()
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


def test_the_home_folder_may_be_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert f"{tmp_path}/my-data" in missing("listops", data_dir="~/my-data")
