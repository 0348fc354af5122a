"""Checks of arguments: each names the argument and what was received.

No backend is imported here: processes that generate data check their arguments too.
"""

import math
import numbers


def is_number(value, kind=numbers.Real):
    """Whether `value` is a finite number of that kind, NumPy's included, no boolean."""
    if not isinstance(value, kind) or isinstance(value, bool):
        return False
    return isinstance(value, numbers.Integral) or math.isfinite(value)


def check_positive_integer(name, value):
    """Raise `ValueError` unless `value` is a positive integer; return it as `int`."""
    if not (is_number(value, numbers.Integral) and value > 0):
        raise ValueError(
            f"`{name}` must be a positive integer. Received: {name}={value!r}"
        )
    return int(value)


def check_non_negative(name, value):
    """Raise `ValueError` unless `value` is a finite number of at least 0."""
    if not (is_number(value) and value >= 0):
        raise ValueError(
            f"`{name}` must be a finite number of at least 0. "
            f"Received: {name}={value!r}"
        )


def check_non_negative_integer(name, value):
    """Raise `ValueError` unless `value` is an integer of at least 0."""
    if not (is_number(value, numbers.Integral) and value >= 0):
        raise ValueError(
            f"`{name}` must be an integer of at least 0. Received: {name}={value!r}"
        )


def check_choice(name, value, choices):
    """Raise `ValueError` unless `value` is one of `choices`."""
    choices = tuple(choices)
    if value not in choices:
        raise ValueError(
            f"`{name}` must be one of {choices}. Received: {name}={value!r}"
        )


def check_fraction(name, value):
    """Raise `ValueError` unless `value` is a number in [0, 1)."""
    if not (is_number(value) and 0 <= value < 1):
        raise ValueError(
            f"`{name}` must be a number in [0, 1). Received: {name}={value!r}"
        )


def fits(value, shape):
    """Whether `value` is a tensor of that shape, as far as both are known."""
    received = getattr(value, "shape", None)
    return (
        received is not None
        and len(received) == len(shape)
        and all(
            size is None or expected is None or size == expected
            for size, expected in zip(received, shape, strict=True)
        )
    )


def describe(value):
    """What an error message says of a tensor, or of what should have been one."""
    if isinstance(value, (list, tuple)):
        few = ", ".join(map(describe, value[:5]))
        return f"[{few}, …]" if len(value) > 5 else f"[{few}]"
    shape = getattr(value, "shape", None)
    return repr(value) if shape is None else f"shape {tuple(shape)}"


def _name_of_dtype(tensor):
    """The dtype of a tensor of whichever backend, a string."""
    dtype = tensor.dtype
    return str(getattr(dtype, "name", dtype)).removeprefix("torch.")


def check_floating(name, tensor):
    """Raise `ValueError` unless `tensor`, of whichever backend, holds real floats."""
    dtype = _name_of_dtype(tensor)
    if not dtype.startswith(("float", "bfloat")):
        raise ValueError(f"`{name}` must be floating. Received: dtype={dtype}")


def check_real(name, tensor):
    """Raise `ValueError` if `tensor`, of whichever backend, holds complex numbers."""
    dtype = _name_of_dtype(tensor)
    if dtype.startswith("complex"):
        raise ValueError(
            f"`{name}` must be real: give the real and the imaginary parts as features "
            f"of their own. Received: dtype={dtype}"
        )


def check_shape(name, value, *shapes):
    """Raise `ValueError` unless `value` has one of `shapes`, None for any size."""
    if not any(fits(value, shape) for shape in shapes):
        raise ValueError(
            f"`{name}` must have shape {' or '.join(map(str, shapes))}, where None "
            f"stands for any size. Received: {describe(value)}"
        )
