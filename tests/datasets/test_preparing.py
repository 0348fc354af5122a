"""Datasets that several processes want at once."""

import sys
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_lru.datasets import Task
from keras_lru.datasets.preparing import locked, prepare
from keras_lru.datasets.reading.prepared_builder import prepared_builder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such locks")


def test_one_at_a_time_is_within(tmp_path, capsys):
    path, within, most = tmp_path / "new" / ".lock", [], []

    def enter(number):
        with locked(path, "squares/1.0.0"):
            within.append(number)
            time.sleep(0.001)
            most.append(len(within))
            within.remove(number)

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(enter, range(40)))
    assert most == [1] * 40
    assert list(path.parent.iterdir()) == []
    assert "Waiting for another process: squares/1.0.0\n" in capsys.readouterr().err


class Squares(tfds.core.GeneratorBasedBuilder):
    """A dataset of others: no builder of ours."""

    name = "squares_at_once"
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict(
            {"x": tfds.features.Tensor(shape=(1,), dtype=np.float32), "y": np.float32}
        )
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        time.sleep(0.1)
        for i in range(3):
            yield i, {"x": [i], "y": i * i}


def test_datasets_of_others_are_prepared_once(tmp_path):
    task = Task(
        *("squares", "squares_at_once", ("x",), None, 1),
        features=1,
        inputs="floats",
        target_key="y",
        target="value",
    )
    with ThreadPoolExecutor(3) as threads:
        builders = list(
            threads.map(
                lambda _: prepared_builder(task, None, tmp_path, True), range(3)
            )
        )
    for builder in builders:
        assert builder.info.splits["train"].num_examples == 3
        assert len(builder.as_dataset(split="train")) == 3
    files = [path.name for path in tmp_path.iterdir()]
    assert sorted(files) == ["downloads", "squares_at_once"]


def test_prepared_data_needs_no_leave_to_write(tmp_path, monkeypatch):
    builder = Squares(data_dir=tmp_path)
    builder.download_and_prepare()
    monkeypatch.setattr("keras_lru.datasets.preparing.locked", None)
    task = Task("squares", "squares_at_once", ("x",), 1, 1, features=1, inputs="floats")
    assert prepared_builder(task, None, tmp_path, True).is_prepared()


def test_a_folder_that_is_not_whole_is_not_taken(tmp_path):
    builder = Squares(data_dir=tmp_path)
    builder.data_path.mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"dataset_info.json, .* Delete "):
        prepare(builder)
    builder.data_path.rmdir()
    prepare(builder)
    assert builder.is_prepared()
