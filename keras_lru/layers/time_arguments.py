"""Call arguments that say when steps are, and where sequences begin."""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_lru.backend import has_value, with_sizes_of
from keras_lru.checks import check_real, describe, fits, is_number
from keras_lru.ops.sequences import shift


class TimeArguments(NamedTuple):
    """What a call says of time; `None` means nothing.

    Attributes:
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`; of a cell
            `(batch,)` or `(batch, 1)`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar tensor, the size of all steps.
        reset_to: List of the states that sequences begin with, or one state.
    """

    step_sizes: Any = None
    reset: Any = None
    rate: Any = None
    reset_to: Any = None

    @property
    def are_given(self):
        """Whether the call says anything."""
        return any(value is not None for value in self)

    @property
    def differ(self):
        """Whether steps do: a rate is the same for all."""
        return self.step_sizes is not None or self.reset is not None

    def as_arguments(self):
        """Those that are given, as keyword arguments of a call."""
        return {name: x for name, x in self._asdict().items() if x is not None}

    def check(self, layer, system, leading, mask=None):
        """Raise `ValueError` unless `system` takes them and they fit.

        Args:
            layer: Its name is in the messages.
            system: The `keras_lru.ops.system.System` of the call.
            leading: `(batch, time)` of the inputs, `None` for any; of a cell
                `(batch,)`.
            mask: Of the inputs; where it is false, a size may be anything.
        """
        self._check_taken(layer, system)
        for name in ("step_sizes", "reset"):
            value = getattr(self, name)
            if value is None:
                continue
            if not (fits(value, leading) or fits(value, (*leading, 1))):
                raise ValueError(
                    f"`{name}` must be a tensor of shape {leading} or "
                    f"{(*leading, 1)}. Received: {describe(value)}"
                )
            check_real(name, value)
        # As they will be: some are positive in double precision alone.
        dtype = keras.backend.standardize_dtype(getattr(system, "dtype", "float32"))
        if self.step_sizes is not None:
            _check_positive("step_sizes", self.step_sizes, dtype, mask)
        if self.rate is not None:
            if not (is_number(self.rate) or fits(self.rate, ())):
                raise ValueError(
                    "`rate` must be a positive number or a scalar tensor. "
                    f"Received: {describe(self.rate)}"
                )
            _check_positive("rate", self.rate, dtype)

    def _check_taken(self, layer, system):
        takes = {
            "step_sizes": system.takes_step_sizes,
            "rate": system.takes_step_sizes,
            "reset": system.takes_reset,
            "reset_to": system.takes_reset,
        }
        for name, value in self.as_arguments().items():
            if not takes[name]:
                is_of_reset = name.startswith("reset")
                what = "restarts" if is_of_reset else "steps of unequal size"
                raise ValueError(
                    f"`{name}` must be left out: {type(layer).__name__} has no {what}. "
                    f"Received: {name}={describe(value)} for the layer {layer.name!r}"
                )

    def prepared(self, inputs, dtype):
        """The same, sizes in `dtype` and resets boolean, one for each step of `inputs`.

        A size that is not positive becomes NaN: where values are known too late for an
        error, no result looks right.
        """
        sizes, reset, rate, reset_to = self
        if sizes is not None:
            sizes = _of_each_step(ops.cast(sizes, dtype), inputs, "step_sizes")
            sizes = _positive_or_nan(sizes)
        if reset is not None:
            reset = _of_each_step(ops.convert_to_tensor(reset), inputs, "reset")
            reset = ops.cast(reset, "bool")
        if rate is not None:
            rate = _positive_or_nan(ops.cast(rate, dtype))
        return TimeArguments(sizes, reset, rate, reset_to)

    def flipped(self):
        """In the other direction of time."""
        return self._replace(
            step_sizes=_flipped(self.step_sizes), reset=_flipped(self.reset)
        )

    def for_backwards(self, hold):
        """Of the same sequences, for a layer that reads them backwards.

        Each begins where, forwards, it ends. The size of a step that is an event
        (`hold="impulse"`) is its distance to the step read before it.

        Args:
            hold: That of the layer, or `None`.
        """
        sizes, reset = self.step_sizes, _earlier(self.reset, 0)
        if hold == "impulse":
            sizes = _earlier(sizes, 1)
            if None not in (sizes, reset):
                # No step of the same sequence is read before it.
                first = ops.reshape(ops.cast(reset, "bool"), ops.shape(sizes))
                sizes = ops.where(first, ops.ones_like(sizes), sizes)
        return self._replace(step_sizes=sizes, reset=reset)


def refuse_reset(reset, why):
    """Raise `ValueError` if there are restarts in what makes one of a whole row."""
    if reset is not None:
        raise ValueError(
            f"`reset` must be left out{why}. Received: reset={describe(reset)}"
        )


def _earlier(x, last):
    """Each step's value at the step before it; `last` at the last one."""
    if x is None:
        return None
    x = ops.convert_to_tensor(x)
    if len(x.shape) == 2:
        return _earlier(ops.expand_dims(x, -1), last)[..., 0]
    return shift(x, ops.full_like(x[:, 0], last), reverse=True)


def _of_each_step(x, inputs, name):
    x = ops.squeeze(x, -1) if len(x.shape) == len(inputs.shape) else x
    return with_sizes_of(x, inputs, name)


def _flipped(x):
    return None if x is None else ops.flip(x, axis=1)


def _positive_or_nan(x):
    positive = x > 0
    # Not `where` with NaN, which in an ONNX file is a sum of products: NaN times zero.
    one = ops.cast(positive, x.dtype)
    # But with a number: no gradient goes through the NaN of a masked step.
    return ops.where(positive, x, ops.ones_like(x)) * (one / one)


def _check_positive(name, value, dtype, mask=None):
    """Where the values are known: a trace has none."""
    if not (has_value(value) and (mask is None or has_value(mask))):
        return
    with np.errstate(over="ignore"):
        value = ops.convert_to_numpy(value).astype(dtype)
    fine = np.isfinite(value) & (value > 0)
    if mask is not None:
        mask = ops.convert_to_numpy(mask).astype(bool)
        fine |= ~mask.reshape(value.shape)
    if not fine.all():
        raise ValueError(
            f"`{name}` must be positive and finite. Received: "
            f"{name} with {value[~fine].flat[0]}"
        )
