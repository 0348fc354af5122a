"""A forecaster: a window of a series in, the steps after it out."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_lru.checks import check_positive_integer, check_real, check_shape, is_number
from keras_lru.layers.differences import Differences
from keras_lru.layers.freezing import freeze_parts
from keras_lru.layers.pooling import SequencePooling
from keras_lru.layers.quantizing import unquantized
from keras_lru.layers.time_arguments import TimeArguments, refuse_reset
from keras_lru.models.backbone import LRUBackbone
from keras_lru.models.backbone_model import BackboneModel


@keras.saving.register_keras_serializable(package="keras_lru")
class SequenceForecaster(BackboneModel):
    """Forecasts the steps after a window of a series, in the series' own units.

    The backbone reads the changes from step to step, and a linear head turns its last
    output into changes from the last value of the window, one for each step of the
    horizon. So a level never seen in training, as trends reach, is no surprise. What
    the changes are measured in is found by `adapt`, and saved with the model.

    Args:
        horizon: Positive integer, number of steps to forecast.
        targets: Indices of the features to forecast. `None` means all.
        differencing: Whether changes are read and forecast. `False` reads and forecasts
            values, for series that always come back to one level.
        backbone: An `LRUBackbone` that is not bidirectional, or `None` to make one.
        **kwargs: Arguments of the `LRUBackbone` to make (`depth=6`, `units=128`, …),
            and Keras's own: `name`, `dtype`, `trainable`.

    Call arguments:
        inputs: Float tensor `(batch, time, features)`. Batch and time may be unknown.
        training: Whether dropout drops and batch normalization uses the batch's
            statistics.
        mask: Boolean tensor `(batch, time)`, `False` where a step is padding.
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`: how far each step
            of the window is from the one before it, in steps of the horizon.
        reset: Refused: a window is one series.
        rate: Positive number, the size of all steps of the window.

    Returns:
        A float32 tensor `(batch, horizon, targets)`, whatever the dtype policy: halves
        could not tell a change from a large level.

    Raises:
        ValueError: In the constructor, if `horizon` is not a positive integer,
            `targets` not a sequence of different indices, or if `backbone` is not an
            `LRUBackbone`, is bidirectional, has a vocabulary, or comes with arguments
            for one. When built, if the inputs have another rank, or no such `targets`.
            When called, with `reset`, or if its recurrence refuses `step_sizes` or
            `rate`.

    Example:
    >>> import numpy as np
    >>> from keras_lru.training import compile_recommended
    >>> series = np.sin(np.arange(300) / 5)[:, None] + 20
    >>> windows = np.lib.stride_tricks.sliding_window_view(series[:, 0], 50 + 10)
    >>> x, y = windows[:, :50, None], windows[:, 50:, None]
    >>> model = SequenceForecaster(10, depth=1, units=16, seed=0)
    >>> model.adapt(series)
    >>> model = compile_recommended(model, total_steps=16)
    >>> history = model.fit(x, y, epochs=2, verbose=0)
    >>> model.predict(x[:2], verbose=0).shape
    (2, 10, 1)
    """

    def __init__(
        self,
        horizon: int,
        targets: Sequence[int] | None = None,
        differencing: bool = True,
        backbone: LRUBackbone | dict | None = None,
        **kwargs: Any,
    ):
        horizon = check_positive_integer("horizon", horizon)
        targets = _checked_targets(targets)
        super().__init__(backbone, **kwargs)
        for name in ("bidirectional", "vocabulary_size"):
            if getattr(self.backbone, name):
                raise ValueError(
                    f"`{name}` must be left out of a forecaster's backbone. Received: "
                    f"{name}={getattr(self.backbone, name)}"
                )
        self.horizon = horizon
        self.targets = targets
        self.differencing = bool(differencing)
        # Values stay in single precision until what is common to them is gone.
        self.autocast = False
        self.differences = Differences(dtype="float32", name="differences")
        self.last_value = SequencePooling("last", dtype="float32", name="last_value")
        self.last_state = SequencePooling(
            "last", dtype=unquantized(self.dtype_policy), name="last_state"
        )
        self.head = None

    @property
    def input_dtype(self):
        """The dtype of the inputs: single precision, whatever the dtype policy."""
        return "float32"

    def build(self, input_shape):
        """Creates the weights for inputs of the shape given."""
        input_shape = tuple(input_shape)
        if not self.backbone.built:
            self.backbone.build(input_shape)
        features = input_shape[-1]
        if self.targets is not None and max(self.targets) >= features:
            raise ValueError(
                f"`targets` must be below the number of features, {features}. "
                f"Received: targets={list(self.targets)}"
            )
        shape = (1, features)
        self.offset = self._add_scale("offset", shape, "zeros")
        self.scale = self._add_scale("scale", shape, "ones")
        self.output_scale = self._add_scale("output_scale", shape, "ones")
        units = self.horizon * self._num_targets(features)
        for part in (self.differences, self.last_value):
            part.build(input_shape)
        self.last_state.build(self.backbone.compute_output_shape(input_shape))
        self.head = self.make_dense(units, None, "head")
        self.head.build((input_shape[0], self.backbone.units))
        self.quantize_parts()
        freeze_parts(self)

    def _add_scale(self, name, shape, initializer):
        return self.add_weight(
            shape=shape,
            initializer=initializer,
            dtype="float32",
            autocast=False,
            trainable=False,
            name=name,
        )

    def _num_targets(self, features):
        return features if self.targets is None else len(self.targets)

    def adapt(self, series: np.ndarray) -> None:
        """Finds what values and changes are measured in, from the training series.

        Call it once, before `fit`, with the part of the series that is trained on.
        Without, they are taken as they are.

        Args:
            series: Finite numbers, `(time, features)`, or `(time,)` of one feature, of
                more steps than the horizon; or several such series or windows,
                `(series, time, features)`.

        Raises:
            ValueError: If the shape is another, there are too few steps, the model was
                built with other features, or a number is not finite.
        """
        series = self._checked_series(series)
        if not self.built:
            self.build((None, None, series.shape[-1]))
        largest = np.abs(series).max((0, 1))
        if self.differencing:
            offset = np.zeros(series.shape[-1])
            scale = _typical_size(np.diff(series, axis=1), largest)
            change = series[:, self.horizon :] - series[:, : -self.horizon]
            output_scale = _typical_size(change, largest)
        else:
            offset = series.mean((0, 1))
            scale = output_scale = _typical_size(series - offset, largest)
        self.offset.assign(offset[None])
        self.scale.assign(scale[None])
        self.output_scale.assign(output_scale[None])

    def _checked_series(self, series):
        try:
            series = np.asarray(series, "float64")
        except (TypeError, ValueError) as error:
            raise ValueError(
                f"`series` must be an array of numbers. Received: series={series!r}"
            ) from error
        received = series.shape
        if series.ndim == 1:
            series = series[:, None]
        if series.ndim == 2:
            series = series[None]
        if series.ndim != 3 or series.shape[1] <= self.horizon or not series.size:
            raise ValueError(
                "`series` must have shape (time,), (time, features) or (series, time, "
                f"features), with more steps than horizon={self.horizon}. Received: "
                f"series of shape {received}"
            )
        if self.built and series.shape[-1] != self.offset.shape[-1]:
            raise ValueError(
                f"`series` must have the model's {self.offset.shape[-1]} features. "
                f"Received: series of shape {received}"
            )
        if not np.isfinite(series).all():
            raise ValueError(
                "`series` must have finite numbers. Received: "
                f"{(~np.isfinite(series)).sum()} that are not"
            )
        return series

    def call(
        self,
        inputs,
        training=None,
        mask=None,
        step_sizes=None,
        reset=None,
        rate=None,
        inputs_mask=None,
    ):
        """Returns the forecast after `(batch, time, features)`."""
        check_real("inputs", inputs)
        refuse_reset(reset, ": a window is that of one series")
        mask = inputs_mask if mask is None else mask
        in_time = TimeArguments(step_sizes, rate=rate).as_arguments()
        values = ops.cast(inputs, "float32")
        x = self.differences(values, mask=mask) if self.differencing else values
        x = ops.cast((x - self.offset) / self.scale, self.compute_dtype)
        x = self.backbone(x, training=training, mask=mask, **in_time)
        x = self.head(self.last_state(x, mask=mask))
        start = self.last_value(values, mask=mask) if self.differencing else self.offset
        start, scale = self._of_targets(start), self._of_targets(self.output_scale)
        x = ops.reshape(ops.cast(x, "float32"), (-1, self.horizon, scale.shape[-1]))
        return start[:, None] + x * scale

    def _of_targets(self, x):
        x = ops.convert_to_tensor(x)
        if self.targets is None:
            return x
        return ops.take(x, np.array(self.targets), axis=-1)

    def compute_loss(
        self, x=None, y=None, y_pred=None, sample_weight=None, training=True
    ):
        """The loss, in units of a typical change over the horizon.

        So rates and clipping are right whatever the series is measured in. Metrics are
        in the units of the series.
        """
        if y is not None and y_pred is not None:
            self._check_answers(y)
            # (1, targets): of one target, y may have no axis for it.
            scale = self._of_targets(self.output_scale)
            y, y_pred = ops.cast(y, "float32") / scale, y_pred / scale
        return super().compute_loss(x, y, y_pred, sample_weight, training)

    def _check_answers(self, y):
        """What fits by broadcasting alone would be a wrong loss, and no error."""
        if getattr(y.shape, "rank", 0) is None:
            return
        targets = self._num_targets(self.offset.shape[-1])
        wanted = [(None, self.horizon, targets)]
        if targets == 1:
            wanted.append((None, self.horizon))
        check_shape("y", y, *wanted)

    def compute_mask(self, inputs, previous_mask=None):
        """Returns `None`: there is no time left to mask."""
        return

    def compute_output_shape(self, input_shape):
        """Returns `(batch, horizon, targets)`."""
        return (input_shape[0], self.horizon, self._num_targets(input_shape[-1]))

    def compute_output_spec(self, inputs, *args, **kwargs):
        """Returns the shape and the dtype of the outputs."""
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def recommended_objective(self):
        """The loss and the metrics that `compile_recommended` takes."""
        return "mean_absolute_error", ["mean_absolute_error"]

    def get_config(self):
        """Returns the constructor's arguments."""
        return {
            **super().get_config(),
            "horizon": self.horizon,
            "targets": None if self.targets is None else list(self.targets),
            "differencing": self.differencing,
        }


def seasonal_naive(inputs: np.ndarray, horizon: int, period: int = 1) -> np.ndarray:
    """The forecast that repeats the last period: what a model has to beat.

    Args:
        inputs: Windows `(batch, time, features)`, of one period at least.
        horizon: Positive integer, number of steps to forecast.
        period: Positive integer, steps of a season. 1 repeats the last value.

    Returns:
        A NumPy array `(batch, horizon, features)`.

    Raises:
        ValueError: If `horizon` or `period` is not a positive integer, or the windows
            are shorter than a period.

    Example:
    >>> import numpy as np
    >>> from keras_lru.models import seasonal_naive
    >>> seasonal_naive(np.array([[[9.0], [1.0], [2.0]]]), 4, period=2).ravel().tolist()
    [1.0, 2.0, 1.0, 2.0]
    """
    horizon = check_positive_integer("horizon", horizon)
    period = check_positive_integer("period", period)
    inputs = ops.convert_to_numpy(inputs)
    if inputs.ndim != 3 or inputs.shape[1] < period:
        raise ValueError(
            f"`inputs` must be windows (batch, time, features) of period={period} "
            f"steps at least. Received: inputs of shape {inputs.shape}"
        )
    return inputs[:, inputs.shape[1] - period + np.arange(horizon) % period]


def _checked_targets(targets):
    if targets is None:
        return None
    try:
        indices = tuple(targets)
    except TypeError:
        indices = ()
    whole = all(is_number(i) and i == int(i) and i >= 0 for i in indices)
    if not indices or not whole or len(set(indices)) < len(indices):
        raise ValueError(
            "`targets` must be different indices of features, or None for all. "
            f"Received: targets={targets!r}"
        )
    return tuple(int(i) for i in indices)


def _typical_size(x, largest):
    """Root mean square of each feature; 1 where it is rounding beside the largest."""
    size = np.sqrt(np.mean(np.square(x), axis=(0, 1)))
    return np.where(size > np.finfo(np.float32).eps * largest, size, 1.0)
