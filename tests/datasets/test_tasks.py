import dataclasses

import pytest

from keras_lru.datasets.tasks import TASKS, Task, get_task

PIXELS, BYTES = (None, 1), (256, None)
# Dataset, classes, length, (vocabulary size, features).
EXPECTED = {
    "scifar": ("cifar10", 10, 1024, (None, 3)),
    "listops": ("lra_listops", 10, 2048, (17, None)),
    "text": ("imdb_reviews", 2, 4096, BYTES),
    "retrieval": ("lra_aan", 2, 4000, BYTES),
    "pathfinder": ("lra_pathfinder/32_14", 2, 1024, PIXELS),
    "pathx": ("lra_pathfinder/128_14", 2, 16384, PIXELS),
    "smnist": ("mnist", 10, 784, PIXELS),
    "psmnist": ("mnist", 10, 784, PIXELS),
    "copy_memory": ("copy_memory", 9, 1020, (10, None)),
}
SERIES = Task(
    "series", "series", ("x",), None, 9, features=2, inputs="floats", target="value"
)


def test_tasks_are_the_benchmark_s_and_copy_memory():
    assert {
        name: (
            task.dataset,
            task.num_classes,
            task.length,
            (task.vocabulary_size, task.features),
        )
        for name, task in TASKS.items()
    } == EXPECTED
    assert all(task.name == name for name, task in TASKS.items())
    assert {task.metric for task in TASKS.values()} == {"accuracy"}


def names(condition):
    return {name for name, task in TASKS.items() if condition(task)}


def test_tasks_differ_in_kind():
    assert names(lambda task: task.is_pair) == {"retrieval"}
    assert names(lambda task: task.permuted) == {"psmnist"}
    tokens = {"listops", "text", "retrieval", "copy_memory"}
    assert names(lambda task: not task.is_image) == tokens
    assert names(lambda task: task.inputs == "tokens") == tokens
    assert names(lambda task: task.end_token) == {"listops"}
    without_validation = {"scifar", "text", "smnist", "psmnist"}
    assert names(lambda task: task.held_out) == without_validation
    assert names(lambda task: task.per_step) == {"copy_memory"}
    assert names(lambda task: task.target_key != "label") == {"copy_memory"}


def test_what_is_not_said_follows_from_what_is():
    assert (SERIES.metric, SERIES.is_image, SERIES.is_pair) == (
        "mean_squared_error",
        False,
        False,
    )
    assert Task("a", "a", ("x",), 2, 9).inputs == "pixels"
    assert Task("a", "a", ("x",), 2, 9, 256).inputs == "tokens"


def test_a_task_of_one_s_own_is_taken_as_it_is():
    task = dataclasses.replace(TASKS["smnist"], dataset="fashion_mnist")
    assert get_task(task) is task
    assert isinstance(task, Task)


def test_refuses_an_unknown_task():
    with pytest.raises(ValueError, match=r"`task` must be .*pathx.* Received: task='i"):
        get_task("imagenet")


TEXT, IMAGE = TASKS["text"], TASKS["smnist"]


@pytest.mark.parametrize(
    ("task", "name", "value", "wanted"),
    [
        (TEXT, "name", None, "a name"),
        (TEXT, "dataset", "", "a name"),
        (TEXT, "keys", "text", "a tuple of one name, or of two"),
        (TEXT, "keys", (), "a tuple of one name, or of two"),
        (TEXT, "keys", ("a", "b", "c"), "a tuple of one name, or of two"),
        (TEXT, "num_classes", None, "a positive integer"),
        (TEXT, "length", 0, "a positive integer"),
        (TEXT, "vocabulary_size", None, "a positive integer"),
        (TEXT, "vocabulary_size", -1, "a positive integer"),
        (TEXT, "features", 3, "None with inputs='tokens'"),
        (TEXT, "end_token", 256, "a token below vocabulary_size=256"),
        (TEXT, "end_token", 1.5, "a token below vocabulary_size=256"),
        (TEXT, "permuted", True, "False with inputs='tokens'"),
        (TEXT, "padding", 1.0, "0 with inputs='tokens'"),
        (TEXT, "held_out", "yes", "True or False"),
        (TEXT, "inputs", "bytes", "one of"),
        (TEXT, "target", "label", "one of"),
        (TEXT, "target_key", 1, "a name"),
        (TEXT, "metric", "", "a name"),
        (IMAGE, "vocabulary_size", 256, "None with inputs='pixels'"),
        (IMAGE, "features", 0, "a positive integer"),
        (IMAGE, "end_token", 1, "None with inputs='pixels'"),
        (IMAGE, "per_step", True, "False with inputs='pixels'"),
        (TASKS["retrieval"], "per_step", True, "False with two keys"),
        (TASKS["listops"], "per_step", True, "False with an end_token"),
        (SERIES, "features", None, "a positive integer"),
        (SERIES, "vocabulary_size", 9, "None with inputs='floats'"),
        (SERIES, "num_classes", 9, "None with target='value'"),
        (SERIES, "metric", "accuracy", "one of values with target='value'"),
        (SERIES, "padding", float("nan"), "a finite number"),
    ],
)
def test_refuses_what_does_not_go_together(task, name, value, wanted):
    with pytest.raises(ValueError, match=rf"`{name}` must be {wanted}.* Received: "):
        dataclasses.replace(task, **{name: value})
