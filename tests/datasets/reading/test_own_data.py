"""What a user has: floats, values to predict, a target for each step."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow_datasets as tfds

import keras_lru
from keras_lru.datasets import Task, load, num_examples

from .stored import store_sequences

LENGTHS = [3, 7, 2, 8, 8, 1, 5, 4, 6]
FORECAST = Task(
    "forecast",
    "varying",
    ("readings",),
    num_classes=None,
    length=8,
    features=3,
    inputs="floats",
    target_key="states",
    target="value",
    per_step=True,
)
TAGS = dataclasses.replace(
    FORECAST, target_key="tags", target="class", num_classes=4, metric="accuracy"
)
SUM = dataclasses.replace(FORECAST, target_key="sum", per_step=False)
LABEL = dataclasses.replace(TAGS, target_key="label", per_step=False)
FIXED = dataclasses.replace(FORECAST, dataset="fixed", length=99)
WORDS = Task(
    "words", "varying", ("words",), num_classes=4, length=8, vocabulary_size=70_000
)


def make_example(length, rng):
    readings = rng.normal(size=(length, 3)).astype(np.float32)
    return {
        "readings": readings,
        "level": readings[:, 0].astype(np.float64),
        "states": readings[:, :2].cumsum(axis=0),
        "tags": rng.integers(4, size=length),
        "sum": readings.sum(),
        "ends": readings[-1],
        "label": int(rng.integers(4)),
        "words": rng.integers(1, 70_000, size=length),
    }


def features(length):
    tensor = tfds.features.Tensor
    return {
        "readings": tensor(shape=(length, 3), dtype=np.float32),
        "level": tensor(shape=(length,), dtype=np.float64),
        "states": tensor(shape=(length, 2), dtype=np.float32),
        "tags": tensor(shape=(length,), dtype=np.int64),
        "sum": tfds.features.Scalar(dtype=np.float32),
        "ends": tensor(shape=(3,), dtype=np.float32),
        "label": tfds.features.ClassLabel(num_classes=4),
        "words": tensor(shape=(length,), dtype=np.int64),
    }


def examples(lengths):
    rng = np.random.default_rng(0)
    return [make_example(length, rng) for length in lengths]


VARYING = examples(LENGTHS)


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    # All of the split for tests are of one length.
    splits = {"train": VARYING, "test": examples([4, 4])}
    store_sequences(folder, "varying", features(None), splits)
    store_sequences(folder, "fixed", features(6), {"train": examples([6] * 4)})
    return folder


def one_batch(task, data_dir, **options):
    """All examples of the training set, in their order, as arrays."""
    options = {"shuffle": False, "buckets": (), **options}
    (batch,) = load(task, "train", 9, data_dir=data_dir, **options).as_numpy_iterator()
    return batch


def padded(key, length=8, padding=0.0):
    """The feature of all examples as arrays, by hand."""
    rows = []
    for example in VARYING:
        steps = example[key][:length]
        missing = np.full((length - len(steps), *steps.shape[1:]), padding)
        rows.append(np.concatenate([steps, missing]))
    return np.stack(rows)


def weights(length=8):
    return np.stack([np.arange(length) < steps for steps in LENGTHS])


@pytest.mark.parametrize("padding", [0.0, -9.0])
def test_floats_are_kept_and_padded_as_the_task_says(data_dir, padding):
    task = dataclasses.replace(SUM, padding=padding)
    x, y = one_batch(task, data_dir)
    assert x.dtype == np.float32
    np.testing.assert_array_equal(x, padded("readings", padding=padding))
    assert y.shape == (9, 1)


def test_a_number_a_step_is_one_feature(data_dir):
    task = dataclasses.replace(SUM, keys=("level",), features=1)
    x, _ = one_batch(task, data_dir)
    assert x.dtype == np.float32
    assert x.shape == (9, 8, 1)
    np.testing.assert_allclose(x[..., 0], padded("level"), rtol=1e-6)


def test_one_value_or_vector_is_predicted_for_a_sequence(data_dir):
    for key, width in (("sum", 1), ("ends", 3)):
        _, y = one_batch(dataclasses.replace(SUM, target_key=key), data_dir)
        assert y.dtype == np.float32
        expected = np.reshape([example[key] for example in VARYING], (9, width))
        np.testing.assert_array_equal(y, expected)


def test_one_class_is_predicted_for_a_sequence_of_floats(data_dir):
    _, y = one_batch(LABEL, data_dir)
    assert y.dtype == np.int32
    assert y.tolist() == [example["label"] for example in VARYING]


@pytest.mark.parametrize("length", [8, 5])
@pytest.mark.parametrize(
    ("task", "dtype"),
    [(FORECAST, np.float32), (TAGS, np.int32)],
    ids=["value", "class"],
)
def test_targets_a_step_are_cut_and_padded_with_the_inputs(
    data_dir, task, dtype, length
):
    x, y, sample_weights = one_batch(task, data_dir, max_length=length)
    np.testing.assert_array_equal(x, padded("readings", length))
    np.testing.assert_array_equal(y, padded(task.target_key, length))
    np.testing.assert_array_equal(sample_weights, weights(length))
    assert y.dtype == dtype
    assert sample_weights.dtype == np.float32


def test_a_number_a_step_is_a_target_with_an_axis_of_its_own(data_dir):
    # Keras would take targets (batch, time) for vectors of as many values as steps.
    _, y, _ = one_batch(dataclasses.replace(FORECAST, target_key="level"), data_dir)
    assert y.shape == (9, 8, 1)


def test_floats_of_about_the_same_length_go_together(data_dir):
    batches = [*load(FORECAST, "train", 2, data_dir=data_dir).as_numpy_iterator()]
    assert {x.shape[1] for x, _, _ in batches} == {2, 4, 8}
    for x, y, sample_weights in batches:
        assert x.shape[:2] == y.shape[:2] == sample_weights.shape
        there = (x != 0).any(axis=-1)
        np.testing.assert_array_equal(there, sample_weights)
        np.testing.assert_allclose(
            y, x[..., :2].cumsum(axis=1) * there[..., None], atol=1e-5
        )


def test_a_resumed_run_sees_the_same_targets(data_dir):
    options = {"batch_size": 2, "data_dir": data_dir, "repeat": True, "seed": 3}
    whole = load(FORECAST, "train", **options).take(9).as_numpy_iterator()
    resumed = load(FORECAST, "train", start_step=5, **options).take(4)
    for one, other in zip([*whole][5:], resumed.as_numpy_iterator(), strict=True):
        for expected, array in zip(one, other, strict=True):
            np.testing.assert_array_equal(array, expected)


def test_all_splits_have_batches_of_one_structure(data_dir):
    train, test = (
        load(TAGS, split, 2, data_dir=data_dir, shuffle=False, drop_remainder=True)
        for split in ("train", "test")
    )
    assert [len(spec.element_spec) for spec in (train, test)] == [3, 3]


def test_sequences_of_a_fixed_length_are_never_padded(data_dir):
    spec = load(FIXED, "train", 2, data_dir=data_dir).element_spec
    assert [tuple(part.shape) for part in spec] == [(2, 6, 3), (2, 6, 2)]
    for x, y in load(FIXED, "train", 2, data_dir=data_dir, max_length=4):
        assert x.shape == (2, 4, 3)
        assert y.shape == (2, 4, 2)


def test_tokens_may_be_more_than_bytes_hold(data_dir):
    x, _ = one_batch(WORDS, data_dir)
    assert x.dtype == np.int32
    np.testing.assert_array_equal(x, padded("words"))


def test_examples_are_counted(data_dir):
    assert num_examples(FORECAST, "train", data_dir=data_dir) == 9
    with pytest.raises(ValueError, match=r"`split` must be one of .* Received: split="):
        num_examples(FORECAST, "validation", data_dir=data_dir)


def test_padded_steps_do_not_count_in_the_loss(data_dir):
    dataset = load(FORECAST, "train", 9, data_dir=data_dir, buckets=())
    model = keras.Sequential([keras.Input((8, 3)), keras.layers.Dense(2)])
    ((x, y, sample_weights),) = dataset.as_numpy_iterator()
    predicted = keras.ops.convert_to_numpy(model(x))
    errors = ((predicted - y) ** 2).mean(axis=-1)
    # Without a mask there are the weights alone.
    loss = keras.losses.MeanSquaredError(reduction="mean_with_sample_weight")
    model.compile("sgd", loss)
    np.testing.assert_allclose(
        model.evaluate(dataset, verbose=0), errors[sample_weights > 0].mean(), rtol=1e-5
    )


def test_regressors_are_trained_on_a_target_a_step(data_dir):
    task = dataclasses.replace(FORECAST, padding=-9.0)
    dataset = load(task, "train", 9, data_dir=data_dir, buckets=())
    inputs = keras.Input((8, 3))
    steps = keras.layers.Masking(mask_value=task.padding)(inputs)
    regressor = keras_lru.SequenceRegressor(2, depth=1, units=4, state_size=4)
    model = keras.Model(inputs, regressor(steps))
    model.compile("sgd", "mse", weighted_metrics=["mse"])
    history = model.fit(dataset, shuffle=False, verbose=0).history
    # The metric divides by the weights, the loss by what the mask has left.
    np.testing.assert_allclose(history["loss"], history["mse"], rtol=1e-5)


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        (
            SUM,
            {"keys": ("x",)},
            r"`keys` must be among .*'words'\]. Received: keys='x'",
        ),
        (SUM, {"target_key": "x"}, r"`target_key` must be among .* target_key='x'"),
        (SUM, {"features": 2}, r"`keys` must name numbers \(time, 2\).* \(None, 3\)"),
        (SUM, {"keys": ("sum",)}, r"`keys` must name numbers .* shape \(\) and dtype"),
        (WORDS, {"keys": ("level",)}, r"`keys` must name texts, or integers"),
        (WORDS, {"vocabulary_size": 9}, r"`vocabulary_size` must be above all"),
        (SUM, {"target_key": "states"}, r"`target_key` must name a number or a vector"),
        (FORECAST, {"target_key": "sum"}, r"`target_key` must name a target a step"),
        (LABEL, {"target_key": "sum"}, r"`target_key` must name an integer with"),
        (TAGS, {"target_key": "level"}, r"`target_key` must name an integer a step"),
        (TAGS, {"num_classes": 3}, r"`num_classes` must be above all .* from 0 to 3"),
        (FORECAST, {"target_key": "ends"}, r"`target_key` must name a target for each"),
    ],
)
def test_refuses_a_task_that_the_dataset_is_not_for(data_dir, task, changes, message):
    task = dataclasses.replace(task, **changes)
    with pytest.raises(ValueError, match=rf"{message}"):
        load(task, "train", 2, data_dir=data_dir)


def test_images_must_be_images(data_dir):
    task = Task("images", "varying", ("readings",), num_classes=4, length=8)
    with pytest.raises(ValueError, match=r"`keys` must name images, integers"):
        load(task, "train", 2, data_dir=data_dir)


def test_a_split_must_be_there_with_examples(data_dir):
    with pytest.raises(
        ValueError, match=r"`split` must be one of .*\['test', 'train'\]"
    ):
        load(SUM, "validation", 2, data_dir=data_dir)
    # The last tenth of four is nothing.
    held_out = dataclasses.replace(SUM, dataset="fixed", held_out=True)
    with pytest.raises(ValueError, match=r"`split` must have examples. Received: spl"):
        load(held_out, "validation", 2, data_dir=data_dir)
