"""The learning rate over the course of training."""

import keras

from keras_lru.checks import check_fraction, check_positive_integer, is_number


def warmup_cosine(
    learning_rate: float,
    total_steps: int,
    warmup_fraction: float = 0.1,
    min_learning_rate: float = 1e-7,
) -> keras.optimizers.schedules.CosineDecay:
    """Linear warmup, then cosine decay: the paper's schedule, appendix D.

    The rate rises linearly from `min_learning_rate` to `learning_rate` over the
    first `warmup_fraction` of the steps, then falls along half a cosine to
    `min_learning_rate` at `total_steps`, where it stays.

    Args:
        learning_rate: Float, the highest rate, reached at the end of the warmup.
        total_steps: Integer, the number of batches trained on: epochs times batches
            an epoch. (With `gradient_accumulation_steps`, Keras's schedules still
            count every batch.)
        warmup_fraction: Float in [0, 1), the part of `total_steps` spent on the
            warmup, rounded to whole steps; at least one step is left for the decay.
            Defaults to `0.1`.
        min_learning_rate: Float in [0, learning_rate], the rate at both ends.
            Defaults to `1e-7`.

    Returns:
        A `keras.optimizers.schedules.CosineDecay`.

    Raises:
        ValueError: If `learning_rate` is not a finite number above 0, `total_steps`
            not a positive integer, `warmup_fraction` not in [0, 1), or
            `min_learning_rate` not in [0, learning_rate].

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), appendix D;
        [Loshchilov & Hutter, 2017](https://arxiv.org/abs/1608.03983).

    Example:
        >>> from keras_lru.training import warmup_cosine
        >>> schedule = warmup_cosine(0.004, total_steps=1000)
        >>> for step in (0, 50, 100, 550, 1000):
        ...     print(f"{step:4d} {float(schedule(step)):.1e}")
           0 1.0e-07
          50 2.0e-03
         100 4.0e-03
         550 2.0e-03
        1000 1.0e-07
    """
    if not (is_number(learning_rate) and learning_rate > 0):
        raise ValueError(
            "`learning_rate` must be a finite number above 0. "
            f"Received: learning_rate={learning_rate!r}"
        )
    total_steps = check_positive_integer("total_steps", total_steps)
    check_fraction("warmup_fraction", warmup_fraction)
    if not (is_number(min_learning_rate) and 0 <= min_learning_rate <= learning_rate):
        raise ValueError(
            f"`min_learning_rate` must be in [0, learning_rate={learning_rate}]. "
            f"Received: min_learning_rate={min_learning_rate!r}"
        )

    peak, floor = float(learning_rate), float(min_learning_rate)
    warmup_steps = min(round(warmup_fraction * total_steps), total_steps - 1)
    return keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=floor if warmup_steps else peak,
        decay_steps=total_steps - warmup_steps,
        alpha=floor / peak,
        warmup_target=peak if warmup_steps else None,
        warmup_steps=warmup_steps,
    )
