"""What the benchmark tasks are, as data: no backend and no TFDS needed to know it."""

import dataclasses

from keras_lru.checks import check_choice


@dataclasses.dataclass(frozen=True)
class Task:
    """A classification task on sequences, and the TFDS dataset behind it.

    Args:
        name: The task's name.
        dataset: Name of the TFDS dataset, with its config where that is not the
            default one.
        keys: Names of the features that hold an example's sequences: one, or two for
            a task on pairs.
        num_classes: Number of classes.
        length: Number of steps of the longest sequences, at the benchmark's size.
        vocabulary_size: Number of tokens, of which 0 is padding. `None` for images,
            read pixel by pixel.
        features: Number of values a step of an image. `None` for tokens.
        end_token: Token that ends every sequence, or `None`.
        permuted: Whether pixels come in a random order, the same for all images.
        held_out: Whether the dataset has no split for validation, so that the last
            tenth of its training split serves for that.
        metric: Name of the Keras metric that the benchmark reports.

    References:
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006), the Long Range Arena;
        [Le, Jaitly and Hinton, 2015](https://arxiv.org/abs/1504.00941), sMNIST and
        psMNIST.

    Example:
        >>> from keras_lru.tasks import get_task
        >>> task = get_task("listops")
        >>> task.dataset, task.num_classes, task.vocabulary_size, task.length
        ('lra_listops', 10, 17, 2048)
    """

    name: str
    dataset: str
    keys: tuple[str, ...]
    num_classes: int
    length: int
    vocabulary_size: int | None = None
    features: int | None = None
    end_token: int | None = None
    permuted: bool = False
    held_out: bool = False
    metric: str = "accuracy"

    @property
    def is_image(self) -> bool:
        """Whether sequences are pixels; if not, they are tokens."""
        return self.vocabulary_size is None

    @property
    def is_pair(self) -> bool:
        """Whether an example is two sequences."""
        return len(self.keys) == 2


_PIXELS = {"keys": ("image",), "features": 1}
_PATHS = {"num_classes": 2, **_PIXELS}
_MNIST = {
    "dataset": "mnist",
    "num_classes": 10,
    "length": 784,
    "held_out": True,
    **_PIXELS,
}
_BYTES = {"num_classes": 2, "vocabulary_size": 256}
# Padding, 15 symbols and the end of the sequence.
_SYMBOLS = {"num_classes": 10, "vocabulary_size": 17, "end_token": 16}

_ALL = (
    Task("scifar", "cifar10", ("image",), 10, 1024, features=3, held_out=True),
    Task("listops", "lra_listops", ("tokens",), length=2048, **_SYMBOLS),
    Task("text", "imdb_reviews", ("text",), length=4096, held_out=True, **_BYTES),
    Task("retrieval", "lra_aan", ("text1", "text2"), length=4000, **_BYTES),
    Task("pathfinder", "lra_pathfinder/32_14", length=1024, **_PATHS),
    Task("pathx", "lra_pathfinder/128_14", length=16384, **_PATHS),
    Task("smnist", **_MNIST),
    Task("psmnist", permuted=True, **_MNIST),
)
TASKS = {task.name: task for task in _ALL}
"""The tasks by name."""


def get_task(task: str | Task) -> Task:
    """The task of that name; a `Task` is returned as it is.

    Args:
        task: A name in `TASKS`, or a `Task`.

    Returns:
        A `Task`.

    Raises:
        ValueError: If there is no task of that name.

    Example:
        >>> from keras_lru.tasks import get_task
        >>> get_task("retrieval").is_pair
        True
    """
    if isinstance(task, Task):
        return task
    check_choice("task", task, TASKS)
    return TASKS[task]
