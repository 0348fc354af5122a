"""What tasks are, as data: neither Keras nor TFDS is needed to know it."""

import dataclasses
import numbers
from typing import Any

from keras_lru.checks import check_choice, check_positive_integer, is_number

INPUTS = ("tokens", "pixels", "floats")
TARGETS = ("class", "value")


@dataclasses.dataclass(frozen=True)
class Task:
    """A task on sequences, and the TFDS dataset behind it.

    Args:
        name: The task's name.
        dataset: Name of the TFDS dataset, with its config where that is not the
            default one.
        keys: Names of the features that hold an example's sequences: one, or two for
            a task on pairs.
        num_classes: Number of classes. `None` if targets are values.
        length: Number of steps of the longest sequences: where longer ones are cut.
        vocabulary_size: Number of tokens, of which 0 is padding where lengths vary.
            `None` if inputs are no tokens.
        features: Number of values a step of an image or of a sequence of floats.
            `None` for tokens.
        end_token: Token that ends every sequence, or `None`.
        permuted: Whether pixels come in a random order, the same for all images.
        held_out: Whether the dataset has no split for validation, so that the last
            tenth of its training split serves for that.
        metric: Name of the Keras metric to report. `None`: `"accuracy"` for classes,
            `"mean_squared_error"` for values.
        inputs: `"tokens"`, integers or the bytes of a text; `"pixels"`, images read
            row by row; `"floats"`, a vector or a number a step. `None`: tokens if
            there is a `vocabulary_size`, else pixels.
        target_key: Name of the feature that holds the target.
        target: `"class"`, an integer below `num_classes`; or `"value"`, a float or a
            vector of floats.
        per_step: Whether there is a target for each step of the sequence, instead of
            one for the whole of it.
        padding: What steps after the end of a sequence of floats are filled with: a
            number that no step of the data consists of, so that
            `keras.layers.Masking(mask_value=padding)` tells the two apart. Tokens are
            padded with 0.

    Raises:
        ValueError: If an argument is not as above, or does not go with the others.

    References:
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006), the Long Range Arena;
        [Le, Jaitly and Hinton, 2015](https://arxiv.org/abs/1504.00941), sMNIST and
        psMNIST; [Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464), copy
        memory.

    Example:
        >>> from keras_lru.datasets import Task, get_task
        >>> task = get_task("listops")
        >>> task.dataset, task.num_classes, task.vocabulary_size, task.length
        ('lra_listops', 10, 17, 2048)
        >>> weather = Task(
        ...     "weather",
        ...     "my_weather_stations",
        ...     keys=("readings",),
        ...     num_classes=None,
        ...     length=168,
        ...     features=5,
        ...     inputs="floats",
        ...     target_key="temperature",
        ...     target="value",
        ...     per_step=True,
        ... )
        >>> weather.metric, weather.is_image
        ('mean_squared_error', False)
    """

    name: str
    dataset: str
    keys: tuple[str, ...]
    num_classes: int | None
    length: int
    vocabulary_size: int | None = None
    features: int | None = None
    end_token: int | None = None
    permuted: bool = False
    held_out: bool = False
    metric: str | None = None
    inputs: str | None = None
    target_key: str = "label"
    target: str = "class"
    per_step: bool = False
    padding: float = 0.0

    def __post_init__(self):
        if self.inputs is None:
            inferred = "pixels" if self.vocabulary_size is None else "tokens"
            object.__setattr__(self, "inputs", inferred)
        check_choice("inputs", self.inputs, INPUTS)
        check_choice("target", self.target, TARGETS)
        if self.metric is None:
            metrics = {"class": "accuracy", "value": "mean_squared_error"}
            object.__setattr__(self, "metric", metrics[self.target])
        for name in ("name", "dataset", "target_key", "metric"):
            self._require(_is_name(getattr(self, name)), name, "a name")
        self._require(
            isinstance(self.keys, tuple)
            and len(self.keys) in (1, 2)
            and all(map(_is_name, self.keys)),
            "keys",
            "a tuple of one name, or of two for pairs",
        )
        for name in ("permuted", "held_out", "per_step"):
            value = getattr(self, name)
            self._require(isinstance(value, bool), name, "True or False")
        check_positive_integer("length", self.length)
        self._check_inputs()
        self._check_target()

    def _check_inputs(self):
        kind = f"with inputs={self.inputs!r}"
        if self.inputs == "tokens":
            check_positive_integer("vocabulary_size", self.vocabulary_size)
            self._require(self.features is None, "features", f"None {kind}")
        else:
            none = self.vocabulary_size is None
            self._require(none, "vocabulary_size", f"None {kind}")
            # Presets and `load` take the features of images from the data.
            if self.inputs == "floats" or self.features is not None:
                check_positive_integer("features", self.features)
        if self.end_token is not None:
            self._require(self.inputs == "tokens", "end_token", f"None {kind}")
            self._require(
                is_number(self.end_token, numbers.Integral)
                and 0 <= self.end_token < self.vocabulary_size,
                "end_token",
                f"a token below vocabulary_size={self.vocabulary_size}",
            )
        if self.permuted:
            self._require(self.inputs == "pixels", "permuted", f"False {kind}")
        self._require(is_number(self.padding), "padding", "a finite number")
        if self.padding != 0:
            self._require(self.inputs == "floats", "padding", f"0 {kind}")

    def _check_target(self):
        if self.target == "class":
            check_positive_integer("num_classes", self.num_classes)
        else:
            none = self.num_classes is None
            self._require(none, "num_classes", f"None with target={self.target!r}")
            right = self.metric != "accuracy"
            self._require(right, "metric", "one of values with target='value'")
        if self.per_step:
            for name, value in (
                ("inputs='pixels'", self.inputs == "pixels"),
                ("two keys", self.is_pair),
                ("an end_token", self.end_token is not None),
            ):
                self._require(not value, "per_step", f"False with {name}")

    def _require(self, condition, name, wanted):
        if not condition:
            value = getattr(self, name)
            raise ValueError(f"`{name}` must be {wanted}. Received: {name}={value!r}")

    @property
    def is_image(self) -> bool:
        """Whether sequences are pixels."""
        return self.inputs == "pixels"

    @property
    def is_pair(self) -> bool:
        """Whether an example is two sequences."""
        return len(self.keys) == 2


def _is_name(value):
    return isinstance(value, str) and value != ""


_PIXELS: dict[str, Any] = {"keys": ("image",), "features": 1}
_PATHS: dict[str, Any] = {"num_classes": 2, **_PIXELS}
_MNIST: dict[str, Any] = {
    "dataset": "mnist",
    "num_classes": 10,
    "length": 784,
    "held_out": True,
    **_PIXELS,
}
_BYTES: dict[str, Any] = {"num_classes": 2, "vocabulary_size": 256}
# Padding, 15 symbols and the end of the sequence.
_SYMBOLS: dict[str, Any] = {"num_classes": 10, "vocabulary_size": 17, "end_token": 16}
# Eight symbols and the blank are answered; the delimiter is only read.
_COPIES: dict[str, Any] = {
    "num_classes": 9,
    "vocabulary_size": 10,
    "target_key": "targets",
}

_ALL = (
    Task("scifar", "cifar10", ("image",), 10, 1024, features=3, held_out=True),
    Task("listops", "lra_listops", ("tokens",), length=2048, **_SYMBOLS),
    Task("text", "imdb_reviews", ("text",), length=4096, held_out=True, **_BYTES),
    Task("retrieval", "lra_aan", ("text1", "text2"), length=4000, **_BYTES),
    Task("pathfinder", "lra_pathfinder/32_14", length=1024, **_PATHS),
    Task("pathx", "lra_pathfinder/128_14", length=16384, **_PATHS),
    Task("smnist", **_MNIST),
    Task("psmnist", permuted=True, **_MNIST),
    Task(
        "copy_memory", "copy_memory", ("inputs",), length=1020, per_step=True, **_COPIES
    ),
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
        >>> from keras_lru.datasets import get_task
        >>> get_task("retrieval").is_pair
        True
    """
    if isinstance(task, Task):
        return task
    check_choice("task", task, TASKS)
    return TASKS[task]
