import dataclasses
import inspect
import itertools
from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

from keras_lru import PairClassifier, SequenceClassifier
from keras_lru.datasets import (
    CopyMemory,
    CopyMemoryConfig,
    ListOpsConfig,
    LraAan,
    Task,
    load,
    num_examples,
)
from keras_lru.datasets.generating.copy_sequences import draw_sequences
from keras_lru.datasets.tasks import TASKS
from keras_lru.experiments import get_preset

from ..conftest import DUMMY_DATA
from .stored import store_images, store_texts

IMAGES = Task("images", "images", ("image",), num_classes=200, length=64, features=1)
TEXTS = Task(
    "texts", "texts", ("text",), num_classes=200, length=64, vocabulary_size=256
)
PAIRS = dataclasses.replace(TEXTS, name="pairs", dataset="pairs", keys=("one", "two"))


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    images = rng.integers(256, size=(53, 8, 8, 1)).astype(np.uint8)
    store_images(folder, "images", train=images, test=images[:7])
    # Never two of the same length in a row.
    texts = ["x" * (1 + 7 * number % 64) for number in range(53)]
    store_texts(folder, "texts", "text", train=[(t,) for t in texts], test=[("abc",)])
    pairs = list(zip(texts, texts[5:] + texts[:5], strict=True))
    store_texts(folder, "pairs", "one", "two", train=pairs)
    return folder


def batches(dataset, count=None):
    """Lists of arrays; the first `count`, or all."""
    taken = itertools.islice(dataset.as_numpy_iterator(), count)
    return [[np.asarray(x) for x in keras.tree.flatten(batch)] for batch in taken]


def same(first, second):
    return len(first) == len(second) and all(
        x.dtype == y.dtype and np.array_equal(x, y)
        for a, b in zip(first, second, strict=True)
        for x, y in zip(a, b, strict=True)
    )


def labels(batches):
    return [label for *_, batch in batches for label in batch.tolist()]


def test_images_are_floats_from_minus_one_to_one(data_dir):
    ((x, y),) = batches(load(IMAGES, "test", 7, data_dir=data_dir))
    assert x.shape == (7, 64, 1)
    assert x.dtype == np.float32
    assert y.dtype == np.int32
    stored = tfds.as_numpy(
        tfds.builder("images", data_dir=data_dir).as_dataset(split="test")
    )
    pixels = np.stack([example["image"].reshape(64, 1) for example in stored])
    np.testing.assert_allclose(x, (pixels / 255.0 - 0.5) / 0.5, atol=1e-6)
    assert x.min() >= -1
    assert x.max() <= 1


def test_tokens_are_integers_padded_with_zeros(data_dir):
    ((x, y),) = batches(load(TEXTS, "test", 1, data_dir=data_dir, buckets=(4,)))
    assert x.tolist() == [[*b"abc", 0]]
    assert x.dtype == y.dtype == np.int32


def test_texts_of_a_batch_share_a_bucket(data_dir):
    dataset = load(
        TEXTS, "train", 4, data_dir=data_dir, max_length=48, buckets=(16, 99)
    )
    for x, y in batches(dataset):
        assert x.shape[1] in (16, 48)
        lengths = np.minimum([1 + 7 * number % 64 for number in y], 48)
        assert (x > 0).sum(axis=1).tolist() == lengths.tolist()


def test_default_buckets_halve_the_length(data_dir):
    dataset = load(TEXTS, "train", 2, data_dir=data_dir)
    assert {x.shape[1] for x, _ in batches(dataset)} == {8, 16, 32, 64}


def test_pairs_are_two_sequences_of_one_length(data_dir):
    dataset = load(PAIRS, "train", 4, data_dir=data_dir)
    for (one, two), _ in dataset.as_numpy_iterator():
        assert one.shape == two.shape
    assert isinstance(dataset.element_spec[0], tuple)


@pytest.mark.parametrize("task", [IMAGES, TEXTS, PAIRS], ids=lambda task: task.name)
def test_a_resumed_run_sees_the_same_batches(data_dir, task):
    options = {"batch_size": 4, "data_dir": data_dir, "seed": 5, "repeat": True}
    whole = batches(load(task, "train", **options), 30)
    # 13 steps an epoch: within the first, at its end, and beyond it.
    for start_step in (1, 13, 17):
        dataset = load(task, "train", start_step=start_step, **options)
        assert same(batches(dataset, 30 - start_step), whole[start_step:])


@pytest.mark.parametrize("task", [IMAGES, TEXTS, PAIRS], ids=lambda task: task.name)
def test_shards_are_rows_of_the_batches(data_dir, task):
    options = {"batch_size": 6, "data_dir": data_dir, "start_step": 2}
    whole = batches(load(task, "train", **options))
    shards = [
        load(task, "train", num_shards=3, shard_index=index, **options)
        for index in range(3)
    ]
    assert shards[1].element_spec[1].shape == (2,)
    together = [
        [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
        for parts in zip(*map(batches, shards), strict=True)
    ]
    assert same(together, whole)


def test_without_repeat_there_is_one_epoch_or_the_rest_of_it(data_dir):
    options = {"batch_size": 4, "data_dir": data_dir}
    for_ever = batches(load(IMAGES, "train", repeat=True, **options), 26)
    for start_step, expected in ((0, for_ever[:13]), (5, for_ever[5:13])):
        dataset = load(IMAGES, "train", start_step=start_step, **options)
        assert int(dataset.cardinality()) == len(expected)
        assert same(batches(dataset), expected)
        assert same(batches(dataset), expected), "iterated over again"
    second = load(IMAGES, "train", start_step=17, **options)
    assert same(batches(second), for_ever[17:])


def test_epochs_and_seeds_have_orders_of_their_own(data_dir):
    def order(seed, start_step):
        options = {"seed": seed, "start_step": start_step, "drop_remainder": False}
        return labels(batches(load(IMAGES, "train", 4, data_dir=data_dir, **options)))

    orders = [order(0, 0), order(0, 14), order(1, 0)]
    assert len({tuple(order) for order in orders}) == 3
    assert all(sorted(order) == list(range(53)) for order in orders)


def test_only_training_batches_are_shuffled_and_all_full(data_dir):
    validation = dataclasses.replace(IMAGES, held_out=True)
    held_out = batches(load(validation, "validation", 2, data_dir=data_dir))
    assert labels(held_out) == [48, 49, 50, 51, 52]
    train = batches(load(validation, "train", 5, data_dir=data_dir))
    assert {len(y) for _, y in train} == {5}
    assert labels(train) != sorted(labels(train))
    chosen = load(
        validation, "train", 5, data_dir=data_dir, shuffle=False, drop_remainder=True
    )
    assert labels(batches(chosen)) == list(range(45))


def test_shapes_are_known_as_far_as_they_can_be(data_dir):
    def shapes(task, split, **options):
        spec = load(task, split, 4, data_dir=data_dir, **options).element_spec
        return [tuple(x.shape) for x in keras.tree.flatten(spec)]

    assert shapes(IMAGES, "train") == [(4, 64, 1), (4,)]
    assert shapes(IMAGES, "test") == [(None, 64, 1), (None,)]
    assert shapes(TEXTS, "train") == [(4, None), (4,)]
    assert shapes(TEXTS, "train", buckets=()) == [(4, 64), (4,)]
    assert shapes(PAIRS, "train", buckets=()) == [(4, 64), (4, 64), (4,)]


@pytest.mark.slow
@pytest.mark.parametrize("task", [IMAGES, TEXTS, PAIRS], ids=lambda task: task.name)
def test_models_are_trained_on_them(data_dir, task):
    model_class = PairClassifier if task.is_pair else SequenceClassifier
    model = model_class(
        task.num_classes,
        depth=1,
        units=4,
        state_size=4,
        vocabulary_size=task.vocabulary_size,
        mask_zero=not task.is_image,
    )
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    # One length, one program to compile.
    options = {"downsample": 4} if task.is_image else {"max_length": 8, "buckets": ()}
    dataset = load(task, "train", 16, data_dir=data_dir, repeat=True, **options)
    # Keras warns that it doesn't shuffle a tf.data.Dataset.
    fitted = model.fit(dataset, steps_per_epoch=2, shuffle=False, verbose=0)
    assert np.isfinite(fitted.history["loss"]).all()


@pytest.fixture(scope="module")
def copies(tmp_path_factory):
    """Arguments of `load` for copies after 1 100 steps, more than the task says."""
    few = {"train_examples": 6, "validation_examples": 2, "test_examples": 2}
    config = CopyMemoryConfig(delay=1_100, **few)
    options = {"config": config, "data_dir": tmp_path_factory.mktemp("copies")}
    CopyMemory(**options).download_and_prepare()
    return options


def test_copies_have_a_target_a_step_and_nothing_to_mask(copies):
    assert num_examples("copy_memory", "train", **copies) == 6
    spec = load("copy_memory", "train", 3, **copies).element_spec
    assert [tuple(part.shape) for part in spec] == [(3, 1120), (3, 1120)]
    ((x, y),) = batches(load("copy_memory", "train", 6, shuffle=False, **copies))
    assert x.dtype == y.dtype == np.int32
    drawn = draw_sequences(range(6), 1_100, seed=0, split="train")
    pairs = zip(x.tolist(), y.tolist(), strict=True)
    assert sorted(pairs) == sorted(
        (example["inputs"].tolist(), example["targets"].tolist()) for example in drawn
    )


def test_copies_may_be_cut(copies):
    ((x, y),) = batches(load("copy_memory", "test", 2, max_length=15, **copies))
    assert x.shape == y.shape == (2, 15)


def test_listops_ends_with_its_end_token(tmp_path):
    config = ListOpsConfig(
        train_examples=6,
        validation_examples=2,
        test_examples=2,
        min_size=10,
        max_size=30,
    )
    options = {"config": config, "data_dir": tmp_path, "max_length": 32, "buckets": ()}
    ((x, _),) = batches(load("listops", "train", 6, download=True, **options))
    builder = tfds.builder("lra_listops", config=config, data_dir=tmp_path)
    stored = tfds.as_numpy(builder.as_dataset(split="train"))
    expected = {(*example["tokens"].tolist(), 16) for example in stored}
    assert {tuple(row[row > 0].tolist()) for row in x} == expected
    assert x.max() < TASKS["listops"].vocabulary_size


def test_retrieval_reads_the_bytes_of_both_papers(tmp_path):
    files = (("train", "train", 3), ("validation", "eval", 2), ("test", "test", 1))
    with mock.patch.object(LraAan, "FILES", files):
        builder = LraAan(data_dir=tmp_path)
        builder.download_and_prepare(
            download_config=tfds.download.DownloadConfig(manual_dir=DUMMY_DATA / "aan")
        )
    stored = list(tfds.as_numpy(builder.as_dataset(split="validation")))
    one, two, y = batches(load("retrieval", "validation", 2, data_dir=tmp_path))[0]
    assert one.shape == two.shape

    def texts(tokens):
        return [bytes(row[row > 0].tolist()) for row in tokens]

    rows = set(zip(texts(one), texts(two), y.tolist(), strict=True))
    assert rows == {(e["text1"], e["text2"], int(e["label"])) for e in stored}


@pytest.mark.parametrize("task", [t for t in TASKS if t != "copy_memory"])
@pytest.mark.parametrize("scale", ["paper", "small", "tiny"])
def test_options_of_presets_are_arguments(task, scale):
    options = get_preset(task, scale).data_options
    assert set(options) <= set(inspect.signature(load).parameters)
    tokens = ("max_length", "buckets")
    unused = tokens if TASKS[task].is_image else ("downsample",)
    assert {options[name] for name in unused} <= {None, 1}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "x"}, "`task` must be one of"),
        ({"split": "all"}, "`split` must be one of"),
        ({"batch_size": 0}, "`batch_size` must be a positive integer"),
        ({"batch_size": 54}, "`batch_size` must be at most the number of examples, 53"),
        ({"seed": -1}, "`seed` must be an integer of at least 0"),
        ({"start_step": 1.5}, "`start_step` must be an integer of at least 0"),
        ({"permutation_seed": None}, "`permutation_seed` must be an integer"),
        ({"num_shards": 0}, "`num_shards` must be a positive integer"),
        ({"shard_index": 1}, "`shard_index` must be less than `num_shards`, 1"),
        ({"num_shards": 3}, "`batch_size` must be a multiple of `num_shards`, 3"),
        ({"num_shards": 2, "drop_remainder": False}, "`drop_remainder` must be True"),
        ({"downsample": 0}, "`downsample` must be a positive integer"),
        ({"downsample": 3}, "`downsample` must divide"),
        (
            {"max_length": 9},
            "`max_length` is for tokens and floats, which task 'images' does",
        ),
        (
            {"max_length": 0},
            "`max_length` is for tokens and floats, which task 'images' does",
        ),
        (
            {"buckets": (9,)},
            "`buckets` is for tokens and floats, which task 'images' does",
        ),
        ({"task": TEXTS, "downsample": 2}, "`downsample` is for images"),
        ({"task": TEXTS, "grayscale": True}, "`grayscale` is for images"),
        ({"task": TEXTS, "max_length": 0}, "`max_length` must be a positive"),
        ({"task": TEXTS, "buckets": (0,)}, "`buckets` must be a sequence of positive"),
        ({"task": TEXTS, "buckets": 5}, "`buckets` must be a sequence of positive"),
    ],
)
def test_refuses_arguments(data_dir, arguments, message):
    arguments = {"task": IMAGES, "split": "train", "batch_size": 4, **arguments}
    with pytest.raises(ValueError, match=rf"{message}.* Received"):
        load(**arguments, data_dir=data_dir)
