"""The optimizer of a preset."""

from typing import Any

from keras_lru.experiments.presets import Preset
from keras_lru.training import AdamW, warmup_cosine


def make_optimizer(
    preset: Preset, total_steps: int | None = None, **kwargs: Any
) -> AdamW:
    """The optimizer of the paper's runs, with the rates of a preset.

    `AdamW` with linear warmup and cosine decay, a smaller rate and no weight decay for
    the recurrent parameters.

    Args:
        preset: A `keras_lru.experiments.Preset`.
        total_steps: Integer, the number of batches to train on. Defaults to the
            preset's.
        **kwargs: Arguments of `AdamW`, in place of the preset's or beside them, such
            as `global_clipnorm`.

    Returns:
        A `keras_lru.training.AdamW`.

    Raises:
        ValueError: If `total_steps` is not a positive integer, or if `AdamW`
            refuses an argument.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), appendix D.

    Example:
        >>> from keras_lru.experiments import get_preset, make_optimizer
        >>> optimizer = make_optimizer(get_preset("text"))
        >>> optimizer.recurrent_lr_factor, optimizer.weight_decay
        (0.1, 0.05)
    """
    steps = preset.steps if total_steps is None else total_steps
    arguments = {
        "learning_rate": warmup_cosine(preset.learning_rate, steps),
        "weight_decay": preset.weight_decay,
        "recurrent_lr_factor": preset.recurrent_lr_factor,
    }
    return AdamW(**{**arguments, **kwargs})
