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
}


def test_tasks_are_the_benchmark_s():
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


def names(condition):
    return {name for name, task in TASKS.items() if condition(task)}


def test_tasks_differ_in_kind():
    assert names(lambda task: task.is_pair) == {"retrieval"}
    assert names(lambda task: task.permuted) == {"psmnist"}
    assert names(lambda task: not task.is_image) == {"listops", "text", "retrieval"}
    assert names(lambda task: task.end_token) == {"listops"}
    without_validation = {"scifar", "text", "smnist", "psmnist"}
    assert names(lambda task: task.held_out) == without_validation


def test_a_task_of_one_s_own_is_taken_as_it_is():
    task = dataclasses.replace(TASKS["smnist"], dataset="fashion_mnist")
    assert get_task(task) is task
    assert isinstance(task, Task)


def test_refuses_an_unknown_task():
    with pytest.raises(ValueError, match=r"`task` must be .*pathx.* Received: task='i"):
        get_task("imagenet")
