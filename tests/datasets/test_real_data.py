"""The public datasets behind the tasks, where they are prepared."""

import os

import numpy as np
import pytest

from keras_lru.datasets import load, num_examples

pytestmark = pytest.mark.real_data


def loaded(task, *args, **options):
    if "TFDS_DATA_DIR" not in os.environ:
        pytest.skip("TFDS_DATA_DIR is not set")
    try:
        return load(task, *args, **options)
    except FileNotFoundError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(
    ("task", "shape", "mean", "examples"),
    [
        # Means of all pixels: 0.1307 for MNIST's, 0.4734 for CIFAR-10's.
        ("smnist", (100, 784, 1), 2 * 0.1307 - 1, (54_000, 6_000, 10_000)),
        ("psmnist", (100, 784, 1), 2 * 0.1307 - 1, (54_000, 6_000, 10_000)),
        ("scifar", (100, 1024, 3), 2 * 0.4734 - 1, (45_000, 5_000, 10_000)),
    ],
)
def test_images(task, shape, mean, examples):
    dataset = loaded(task, "validation", 100)
    splits = ("train", "validation", "test")
    assert tuple(num_examples(task, split) for split in splits) == examples
    x, y = zip(*dataset.as_numpy_iterator(), strict=True)
    assert {batch.shape for batch in x} == {shape}
    assert np.mean([batch.mean() for batch in x]) == pytest.approx(mean, abs=0.02)
    counts = np.bincount(np.concatenate(y), minlength=10)
    assert counts.min() > 0.08 * counts.sum()


def test_reviews():
    dataset = loaded("text", "validation", 50)
    assert num_examples("text", "train") == 22_500
    assert num_examples("text", "test") == 25_000
    x, y = zip(*dataset.as_numpy_iterator(), strict=True)
    assert {batch.shape for batch in x} == {(50, n) for n in (512, 1024, 2048, 4096)}
    assert np.mean(np.concatenate(y)) == pytest.approx(0.5, abs=0.05)
    texts = [bytes(row[row > 0].tolist()) for batch in x for row in batch]
    assert sum(b"movie" in text for text in texts) > 0.5 * len(texts)
    # Padding is at the end alone.
    assert all((np.diff(np.sign(batch)) <= 0).all() for batch in x)
