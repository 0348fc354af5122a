import os
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from keras_lru.datasets import (
    CopyMemory,
    CopyMemoryConfig,
    ListOpsConfig,
    LraListops,
)

from ..conftest import ROOT

FEW = {"train_examples": 50, "validation_examples": 5, "test_examples": 5}
SHORT = {"max_depth": 4, "min_size": 20, "max_size": 100}
# Kills itself when TFDS has written some examples of the training set.
SCRIPT = """
import os, signal, sys
from keras_lru.datasets import ListOpsConfig, LraListops

first_unseen = LraListops._first_unseen

def killed(self, example, split, index):
    if index == 30:
        os.kill(os.getpid(), signal.SIGKILL)
    return first_unseen(self, example, split, index)

LraListops._first_unseen = killed
LraListops.CHUNK_SIZE = 20
config = ListOpsConfig(
    train_examples=50, validation_examples=5, test_examples=5,
    max_depth=4, min_size=20, max_size=100,
)
LraListops(data_dir=sys.argv[1], config=config, processes=2).download_and_prepare()
"""


@pytest.fixture
def chunks(monkeypatch):
    """Small chunks; the list of those computed in this process."""
    monkeypatch.setattr(LraListops, "CHUNK_SIZE", 20)
    computed = []
    draw_trees = sys.modules["keras_lru.datasets.generating.listops_trees"].draw_trees

    def logged(indices, **kwargs):
        computed.append((kwargs["split"], indices))
        return draw_trees(indices, **kwargs)

    monkeypatch.setattr("keras_lru.datasets.building.listops.draw_trees", logged)
    return computed


def make(data_dir, processes=1, **changes):
    config = ListOpsConfig(**{**FEW, **SHORT, **changes})
    return LraListops(data_dir=data_dir, config=config, processes=processes)


def content(builder):
    """The records of the prepared dataset, file by file."""
    return {
        path.name: path.read_bytes() for path in builder.data_path.glob("*.tfrecord*")
    }


def leftovers(data_dir):
    names = ("incomplete.*", "generated_*", "*.chunk*", "*.lock")
    return [path for name in names for path in data_dir.rglob(name)]


def test_records_are_the_same_for_any_number_of_processes(tmp_path, monkeypatch):
    monkeypatch.setattr(LraListops, "CHUNK_SIZE", 20)
    one, two = (make(tmp_path / str(count), count) for count in (1, 2))
    one.download_and_prepare()
    two.download_and_prepare()
    assert len(content(one)) == 3
    assert content(one) == content(two)
    assert leftovers(tmp_path) == []


def test_a_smaller_dataset_is_the_beginning_of_a_larger_one(tmp_path):
    def sequences(count):
        config = CopyMemoryConfig(
            train_examples=count, validation_examples=1, test_examples=1, delay=3
        )
        builder = CopyMemory(data_dir=tmp_path, config=config)
        builder.download_and_prepare()
        dataset = tfds.as_numpy(builder.as_dataset(split="train"))
        return {example["inputs"].tobytes() for example in dataset}

    assert len(sequences(5)) == 5
    assert sequences(5) < sequences(9)


def test_interrupted_preparation_goes_on_where_it_was(tmp_path, chunks, monkeypatch):
    whole = make(tmp_path / "whole")
    whole.download_and_prepare()
    all_chunks = [
        *(("train", indices) for indices in (range(20), range(20, 40), range(40, 50))),
        ("validation", range(5)),
        ("test", range(5)),
    ]
    assert chunks == all_chunks
    chunks.clear()

    def interrupted(self, example, split, index):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(LraListops, "_first_unseen", interrupted)
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "data").download_and_prepare()
    builder = make(tmp_path / "data")
    assert not builder.data_path.exists()
    builder.download_and_prepare()
    assert chunks == all_chunks
    assert content(builder) == content(whole)
    assert leftovers(tmp_path) == []


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kills a process")
def test_killed_preparation_never_looks_whole_and_goes_on(tmp_path, chunks):
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "data")],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stderr=subprocess.DEVNULL,
        check=False,
    )
    assert process.returncode == -signal.SIGKILL
    builder = make(tmp_path / "data")
    assert not builder.data_path.exists()
    with pytest.raises(AssertionError, match="could not find data"):
        builder.as_dataset(split="train")
    assert len(leftovers(tmp_path)) == 1 + 1 + 3 + 2

    builder.download_and_prepare()
    assert chunks == [("validation", range(5)), ("test", range(5))]
    whole = make(tmp_path / "whole")
    whole.download_and_prepare()
    assert content(builder) == content(whole)
    assert leftovers(tmp_path) == []


def test_builders_that_prepare_at_once_do_it_once(tmp_path, chunks):
    # Two of one dataset, and one whose chunks are the beginning of theirs.
    builders = [make(tmp_path, train_examples=count) for count in (50, 50, 30)]
    with ThreadPoolExecutor(3) as threads:
        for _ in threads.map(LraListops.download_and_prepare, builders):
            pass
    counts = [builder.info.splits["train"].num_examples for builder in builders]
    assert counts == [50, 50, 30]
    # The smaller one makes three of its own, or takes the first of the larger.
    assert len(chunks) in (5 + 3, 5 + 4)
    assert content(builders[0]) == content(builders[1])
    assert len(builders[1].as_dataset(split="train")) == 50
    assert leftovers(tmp_path) == []


def test_other_settings_under_a_name_are_refused_after_the_wait(tmp_path):
    builders = [make(tmp_path, name="mine", seed=seed) for seed in (0, 1)]
    builders[0].download_and_prepare()
    with pytest.raises(ValueError, match="`config` must have a name of its own"):
        builders[1].download_and_prepare()


def test_chunks_of_other_settings_are_not_used(tmp_path, chunks, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(LraListops, "_first_unseen", None)
        with pytest.raises(TypeError):
            make(tmp_path, name="mine").download_and_prepare()
    chunks.clear()
    make(tmp_path, name="mine", seed=1).download_and_prepare()
    assert len(chunks) == 5


def test_chunks_lie_on_this_machine_where_the_data_does_not(tmp_path, monkeypatch):
    builder = make(tmp_path)
    assert tmp_path in builder._cache.parents
    monkeypatch.setattr(builder, "_data_dir_root", "gs://bucket/data")
    assert Path(tempfile.gettempdir()) in builder._cache.parents


def test_config_is_named_by_what_is_not_default():
    assert ListOpsConfig().name == "default"
    assert ListOpsConfig(name="mine", seed=1).name == "mine"
    config = ListOpsConfig(seed=3, test_examples=50, max_size=600)
    assert config.name == "test_examples_50-seed_3-max_size_600"


def test_name_of_other_settings_is_refused(tmp_path):
    make(tmp_path, name="mine").download_and_prepare()
    make(tmp_path, name="mine")
    with pytest.raises(ValueError, match="`config` must have a name of its own"):
        make(tmp_path, name="mine", seed=1)


def test_copy_of_a_builder_s_config_is_that_config(tmp_path):
    builder = CopyMemory(data_dir=tmp_path, config=CopyMemoryConfig(delay=100))
    assert builder.builder_config is CopyMemory.BUILDER_CONFIGS[1]


def test_prepared_dataset_loads_by_its_config_s_name(tmp_path):
    builder = make(tmp_path)
    builder.download_and_prepare()
    name = f"lra_listops/{builder.builder_config.name}"
    assert len(tfds.load(name, split="train", data_dir=tmp_path)) == 50


def test_processes_are_an_argument_of_the_builder(tmp_path):
    kwargs = {"config": make(tmp_path).builder_config, "processes": 1}
    dataset = tfds.load(
        "lra_listops", split="test", data_dir=tmp_path, builder_kwargs=kwargs
    )
    assert len(dataset) == 5
    with pytest.raises(ValueError, match=r"`processes` must be .* Received"):
        make(tmp_path, processes=0)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("train_examples", 0),
        ("validation_examples", 2.5),
        ("test_examples", None),
        ("seed", -1),
        ("seed", "0"),
    ],
)
def test_refuses_a_setting(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
        ListOpsConfig(**{name: value})
