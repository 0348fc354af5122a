"""Call arguments that say when steps are, and where sequences begin."""

import math
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from keras_lru.backend import has_value
from keras_lru.checks import check_real, describe, fits, is_number


class TimeArguments(NamedTuple):
    """What a call says of time; `None` means nothing.

    Attributes:
        step_sizes: Positive, `(batch, time)` or `(batch, time, 1)`; of a cell
            `(batch,)` or `(batch, 1)`.
        reset: Boolean, of the same shapes: true where a sequence begins.
        rate: Positive number or scalar tensor, the size of all steps.
    """

    step_sizes: Any = None
    reset: Any = None
    rate: Any = None

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
        takes = {
            "step_sizes": system.takes_step_sizes,
            "rate": system.takes_step_sizes,
            "reset": system.takes_reset,
        }
        for name, is_taken in takes.items():
            if getattr(self, name) is not None and not is_taken:
                raise ValueError(
                    f"`{name}` must be left out: {type(layer).__name__} has no "
                    f"{'steps of unequal size' if name != 'reset' else 'such restarts'}"
                    f". Received: {name}={describe(getattr(self, name))} for the layer "
                    f"{layer.name!r}"
                )
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
        _check_positive("step_sizes", self.step_sizes, mask)
        if self.rate is not None:
            if isinstance(self.rate, (int, float)) and not (
                is_number(self.rate) and self.rate > 0
            ):
                raise ValueError(
                    f"`rate` must be positive and finite. Received: rate={self.rate!r}"
                )
            if getattr(self.rate, "shape", ()) != ():
                raise ValueError(
                    f"`rate` must be a number or a scalar. Received: "
                    f"{describe(self.rate)}"
                )

    def prepared(self, rank, dtype):
        """The same, sizes in `dtype` and resets boolean, of `rank` axes.

        A size that is not positive becomes NaN: where values are known too late for an
        error, no result looks right.
        """
        sizes, reset = self.step_sizes, self.reset
        if sizes is not None:
            sizes = _of_rank(ops.cast(sizes, dtype), rank)
            sizes = ops.where(sizes > 0, sizes, ops.full_like(sizes, math.nan))
        if reset is not None:
            reset = ops.cast(_of_rank(ops.convert_to_tensor(reset), rank), "bool")
        return TimeArguments(sizes, reset, self.rate)

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
        sizes = self.step_sizes
        if hold == "impulse":
            sizes = _earlier(sizes, 1)
        return self._replace(step_sizes=sizes, reset=_earlier(self.reset, 0))


def _earlier(x, last):
    """Each step's value at the step before it; `last` at the last one."""
    if x is None:
        return None
    x = ops.convert_to_tensor(x)
    return ops.concatenate([x[:, 1:], ops.full_like(x[:, :1], last)], axis=1)


def _of_rank(x, rank):
    return x if len(x.shape) == rank else ops.squeeze(x, -1)


def _flipped(x):
    return None if x is None else ops.flip(x, axis=1)


def _check_positive(name, value, mask):
    """Where the values are known: a trace has none."""
    if value is None or not (has_value(value) and (mask is None or has_value(mask))):
        return
    value = ops.convert_to_numpy(value)
    if mask is not None:
        mask = ops.convert_to_numpy(mask).astype(bool)
        value = np.where(mask.reshape(value.shape), value, 1.0)
    smallest = float(value.min(initial=1.0))
    # Not `<=`, which NaN is not.
    if not 0.0 < smallest < math.inf:
        raise ValueError(
            f"`{name}` must be positive. Received: a smallest one of {smallest}"
        )
