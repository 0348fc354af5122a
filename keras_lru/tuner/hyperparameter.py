"""One hyperparameter: a number, a range, or a list of choices."""

import math
import numbers

from keras_lru.checks import is_number


def check_values(name, values, low=-math.inf, high=math.inf, integer=False, log=False):
    """Raise `ValueError` unless `values` says what a hyperparameter may be.

    Args:
        name: The argument's name.
        values: A number, which is not searched; a tuple `(low, high)`, a range; or a
            list of numbers to choose from.
        low: Smallest number allowed.
        high: Largest number allowed.
        integer: Whether the numbers must be integers.
        log: Whether a range is searched on a logarithmic scale, and must be above 0.

    Returns:
        `values`, its numbers as Python's integers or floats.
    """
    several = isinstance(values, tuple | list)
    numbers_given = list(values) if several else [values]
    kind = numbers.Integral if integer else numbers.Real
    valid = bool(numbers_given) and all(
        is_number(value, kind) and low <= value <= high for value in numbers_given
    )
    if valid and isinstance(values, tuple):
        valid = len(values) == 2 and values[0] < values[1]
        valid = valid and (values[0] > 0 or not log)
    if not valid:
        above_0 = ", above 0," if log else ""
        raise ValueError(
            f"`{name}` must be {'an integer' if integer else 'a number'} in "
            f"[{low}, {high}], or a range (low, high){above_0} or a list of these. "
            f"Received: {name}={values!r}"
        )
    checked = [int(value) if integer else float(value) for value in numbers_given]
    return type(values)(checked) if several else checked[0]


def suggest(hp, name, values, log=False):
    """The value of a hyperparameter; a number stands for itself.

    Args:
        hp: A `keras_tuner.HyperParameters`.
        name: Name of the hyperparameter.
        values: As `check_values` returns it.
        log: Whether to search a range on a logarithmic scale; of integers only those
            that are a power of two times the lowest.

    Returns:
        A float or an integer, whichever `values` is made of.
    """
    if isinstance(values, list):
        return hp.Choice(name, values)
    if not isinstance(values, tuple):
        return values
    sampling = "log" if log else "linear"
    if isinstance(values[0], int):
        return hp.Int(name, *values, step=2 if log else 1, sampling=sampling)
    return hp.Float(name, *values, sampling=sampling)
