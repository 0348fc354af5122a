import shutil
from unittest import mock

import pytest
import tensorflow_datasets as tfds

from keras_lru.datasets import LraAan

from ..conftest import DUMMY_DATA

ROW = b"1\tP1\tP2\tone\ttwo\n"
FILES = (("train", "train", 3), ("validation", "eval", 2), ("test", "test", 1))


@pytest.fixture
def prepare(tmp_path):
    """Writes a file anew, then prepares the dataset."""
    manual = shutil.copytree(DUMMY_DATA / "aan", tmp_path / "manual")

    def prepare(name=None, content=None):
        if content is not None:
            (manual / name).write_bytes(content)
        builder = LraAan(data_dir=tmp_path / "data")
        with mock.patch.object(LraAan, "FILES", FILES):
            builder.download_and_prepare(
                download_config=tfds.download.DownloadConfig(manual_dir=manual)
            )
        return builder

    return prepare


def test_bytes_are_kept_as_they_are(prepare):
    content = b'0.0\tP1\tP2\t"a \xff\\n\r"\t \n' + b"1.0" + ROW[1:] + ROW
    dataset = prepare("new_aan_pairs.train.tsv", content).as_dataset(split="train")
    rows = sorted(
        tuple(row[name] for name in ("label", "id1", "id2", "text1", "text2"))
        for row in tfds.as_numpy(dataset)
    )
    assert rows == [
        (0, b"P1", b"P2", b'"a \xff\\n\r"', b" "),
        (1, b"P1", b"P2", b"one", b"two"),
        (1, b"P1", b"P2", b"one", b"two"),
    ]


def test_expects_the_benchmark_s_numbers_of_pairs():
    assert [rows for _, _, rows in LraAan.FILES] == [147_086, 18_090, 17_437]


def test_missing_file_says_what_to_fetch_and_where_to_put_it(prepare, tmp_path):
    (tmp_path / "manual" / "new_aan_pairs.eval.tsv").unlink()
    with pytest.raises(FileNotFoundError) as caught:
        prepare()
    message = str(caught.value)
    assert f"{tmp_path / 'manual'} must hold" in message
    assert "Missing: new_aan_pairs.eval.tsv." in message
    assert "tsv_data of the tar archive https://storage.googleapis.com" in message


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (ROW * 2, r"must have 3 rows. Received: 2 rows"),
        (ROW * 4, r"must have 3 rows. Received: 4 rows"),
        (ROW + b"1\tP1\tP2\tone\n" + ROW, r"line 2, must have 5 tab-separated"),
        (ROW * 2 + b"1\tP1\tP2\tone\ttwo\tthree\n", r"line 3, must have 5 tab"),
        (ROW + b"yes" + ROW[1:] + ROW, r"line 2, must have a label, 0 or 1"),
        (ROW * 2 + ROW[:-2], r"line 3, must have a newline at its end"),
        (ROW * 2 + b"\n", r"line 3, must have 5 tab-separated"),
    ],
)
def test_bad_file_is_told_with_its_line(prepare, tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"new_aan_pairs\.train\.tsv.* {message}"):
        prepare("new_aan_pairs.train.tsv", content)
    assert not list((tmp_path / "data").rglob("*.tfrecord*"))
