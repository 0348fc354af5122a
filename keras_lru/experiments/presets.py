"""A preset: a model for a task, and how to train it."""

import dataclasses
import math

import keras

from keras_lru.checks import (
    check_choice,
    check_fraction,
    check_non_negative,
    check_positive_integer,
)
from keras_lru.datasets.tasks import get_task
from keras_lru.experiments.recurrences import RECURRENCES, make_recurrence
from keras_lru.experiments.settings import SCALES, TASKS_WITH_PRESETS, settings_of
from keras_lru.initializers.ring import check_max_phase, check_ring
from keras_lru.models import PairClassifier, SequenceClassifier


@dataclasses.dataclass(frozen=True)
class Preset:
    """A model for a task, the batches that it reads, and how to train it.

    `get_preset` returns those of this library. To change one use
    `dataclasses.replace`.

    Args:
        task: Name of the task.
        depth: Number of blocks.
        units: Number of features between the blocks, the paper's H.
        state_size: Number of complex states, the paper's N.
        r_min: Smallest modulus of the eigenvalues at initialization.
        r_max: Largest modulus of the eigenvalues at initialization.
        max_phase: Largest phase of the eigenvalues at initialization.
        dropout: Rate of the dropouts in the blocks.
        glu: `"full"` or `"half"`.
        bidirectional: Whether each block also reads the sequence from its end.
        norm_momentum: Momentum of batch normalization's moving statistics. They lag
            behind by about `1 / (1 - norm_momentum)` steps, so that short runs need a
            smaller one.
        batch_size: Examples a batch.
        steps: Batches to train on.
        learning_rate: The highest learning rate, after the warmup.
        recurrent_lr_factor: What the rate of recurrent parameters is multiplied by.
        weight_decay: Weight decay of the parameters that are not recurrent.
        config: Config of the TFDS dataset; `None` means the task's.
        max_length: Where token sequences are cut; `None` means at the task's length.
        buckets: Lengths to which batches of tokens are padded; `None` means those
            that `keras_lru.datasets.load` chooses.
        downsample: How many times smaller images are made, in height and in width.
        scale: `"paper"`, or what it was scaled down to.
        recurrence: `"lru"`, or what takes its place in the blocks: `"stable_exp"`,
            `"exp"` or `"real_imag"`, the LRU without γ, by its parameterization;
            `"rnn_tanh"`, `"rnn_relu"` or `"rnn_linear"`, dense RNNs; `"s4d"`, `"s5"`,
            `"rg_lru"`, `"gru"`, `"lstm"`.

    Raises:
        ValueError: If `recurrence` is none of these, or a number is out of its range.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), table 9 and
        appendix D.

    Example:
        >>> from keras_lru.experiments import get_preset
        >>> preset = get_preset("pathx")
        >>> preset.r_min, preset.r_max, preset.bidirectional
        (0.999, 0.9999, True)
    """

    task: str
    depth: int
    units: int
    state_size: int
    r_min: float
    r_max: float
    dropout: float
    batch_size: int
    steps: int
    learning_rate: float
    recurrent_lr_factor: float
    weight_decay: float = 0.05
    max_phase: float = 2 * math.pi
    glu: str = "full"
    bidirectional: bool = False
    norm_momentum: float = 0.99
    config: str | None = None
    max_length: int | None = None
    buckets: tuple[int, ...] | None = None
    downsample: int = 1
    scale: str = "paper"
    recurrence: str = "lru"

    def __post_init__(self):
        check_choice("recurrence", self.recurrence, RECURRENCES)
        for name in ("depth", "units", "state_size", "batch_size", "steps"):
            check_positive_integer(name, getattr(self, name))
        check_ring(self.r_min, self.r_max)
        check_max_phase(self.max_phase)
        check_fraction("dropout", self.dropout)
        for name in ("learning_rate", "recurrent_lr_factor", "weight_decay"):
            check_non_negative(name, getattr(self, name))

    @property
    def data_options(self) -> dict:
        """Arguments of `keras_lru.datasets.load`, beside task, split and batch size.

        Example:
            >>> from keras_lru.experiments import get_preset
            >>> get_preset("scifar", scale="tiny").data_options["downsample"]
            2
        """
        names = ("config", "max_length", "buckets", "downsample")
        return {name: getattr(self, name) for name in names}

    def build_model(self, **overrides) -> keras.Model:
        """Makes the model: a `SequenceClassifier`, or a `PairClassifier` for pairs.

        Args:
            **overrides: Arguments of the model's class, in place of the preset's or
                beside them, such as `seed`, `recurrence` or `normalization`.

        Returns:
            A model that returns logits, not compiled. It reads batches of
            `keras_lru.datasets.load`.

        Raises:
            ValueError: If the model refuses an argument.

        Example:
            >>> from keras_lru.experiments import get_preset
            >>> model = get_preset("listops", scale="tiny").build_model(depth=2, seed=0)
            >>> len(model.backbone.blocks), model.num_classes
            (2, 10)
        """
        task = get_task(self.task)
        names = (
            *("depth", "units", "state_size", "r_min", "r_max", "max_phase"),
            *("dropout", "glu", "bidirectional", "norm_momentum"),
        )
        arguments = {name: getattr(self, name) for name in names}
        arguments.update(
            num_classes=task.num_classes,
            vocabulary_size=task.vocabulary_size,
            mask_zero=not task.is_image,
        )
        arguments.update(overrides)
        if "recurrence" not in arguments:
            sizes = ("units", "state_size", "r_min", "r_max", "max_phase")
            arguments["recurrence"] = make_recurrence(
                self.recurrence, **{name: arguments[name] for name in sizes}
            )
        model_class = PairClassifier if task.is_pair else SequenceClassifier
        return model_class(**arguments)


def get_preset(task: str, scale: str = "paper") -> Preset:
    """The preset for a task: Table 9 of the paper, or that scaled down.

    Args:
        task: `"scifar"`, `"listops"`, `"text"`, `"retrieval"`, `"pathfinder"`,
            `"pathx"`, `"smnist"` or `"psmnist"`.
        scale: `"paper"`, `"small"` (for an hour or so on a CPU) or `"tiny"` (for
            minutes).

    Returns:
        A `Preset`.

    Raises:
        ValueError: If there is no preset for `task`, or no such `scale`.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), table 9. `"smnist"`
        and `"psmnist"` are not in the paper.

    Example:
        >>> from keras_lru.experiments import get_preset
        >>> preset = get_preset("scifar")
        >>> preset.depth, preset.units, preset.state_size, preset.steps
        (6, 512, 384, 180000)
    """
    check_choice("task", task, TASKS_WITH_PRESETS)
    check_choice("scale", scale, SCALES)
    return Preset(task=task, scale=scale, **settings_of(task, scale))
