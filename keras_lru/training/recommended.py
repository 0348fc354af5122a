"""The settings that a first try should have, in one call."""

from typing import Any

import keras

from keras_lru.checks import is_number
from keras_lru.training.optimizers import AdamW
from keras_lru.training.schedules import warmup_cosine


def compile_recommended(
    model: keras.Model,
    total_steps: int,
    loss: Any = None,
    metrics: list | None = None,
    *,
    learning_rate: float = 0.005,
    **kwargs: Any,
) -> keras.Model:
    """Compiles a model with the settings that win without tuning.

    `AdamW` with weight decay 0.05, half the rate and no decay for the recurrences; the
    learning rate warms up over the first tenth of `total_steps`, then falls along half
    a cosine; gradients are clipped to a global norm of 1. It is the recipe of the
    paper's appendix D, with one rate for all.

    Args:
        model: A `keras.Model`. One of this library brings its loss and metrics.
        total_steps: Positive integer, the number of batches that will be trained on:
            `epochs * ceil(examples / batch_size)`.
        loss: As for `keras.Model.compile`. `None`: that of the model's
            `recommended_objective()`.
        metrics: As for `keras.Model.compile`. `None`: the model's own.
        learning_rate: Float, the highest rate.
        **kwargs: For `keras.Model.compile`, such as `jit_compile`.

    Returns:
        The model, compiled.

    Raises:
        ValueError: If `model` is no model, `total_steps` is not a positive integer,
            `learning_rate` not a finite number above 0, `optimizer` is among the
            arguments, or `loss` is missing and the model recommends none.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), appendix D.

    Example:
        >>> from keras_lru import SequenceClassifier
        >>> from keras_lru.training import compile_recommended
        >>> model = SequenceClassifier(3, depth=1, units=8, state_size=8)
        >>> model = compile_recommended(model, total_steps=500)
        >>> type(model.optimizer).__name__, model.optimizer.recurrent_lr_factor
        ('AdamW', 0.5)
    """
    if not (is_number(learning_rate) and learning_rate > 0):
        raise ValueError(
            "`learning_rate` must be a finite number above 0: the schedule is made "
            f"around it. Received: learning_rate={learning_rate!r}"
        )
    if "optimizer" in kwargs:
        raise ValueError(
            "`optimizer` is what is recommended here; with one of your own call "
            f"`model.compile`. Received: optimizer={kwargs['optimizer']!r}"
        )
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a keras.Model. Received: model={model!r}")
    if hasattr(model, "recommended_objective"):
        own_loss, own_metrics = model.recommended_objective()
        loss = own_loss if loss is None else loss
        metrics = own_metrics if metrics is None else metrics
    if loss is None:
        raise ValueError(
            "`loss` is needed: the model recommends none. Received: "
            f"model={model.name!r}, loss=None"
        )
    optimizer = AdamW(
        warmup_cosine(
            learning_rate, total_steps, min_learning_rate=min(1e-7, learning_rate)
        ),
        weight_decay=0.05,
        recurrent_lr_factor=0.5,
        global_clipnorm=1.0,
    )
    model.compile(optimizer=optimizer, loss=loss, metrics=metrics, **kwargs)
    return model
