"""What recurrences remember, in words."""

import math

import numpy as np

from keras_lru.visualization.spectrum import (
    EigenvalueSource,
    half_lives,
    phases,
    spectra,
)


def memory_summary(source: EigenvalueSource) -> str:
    """What each recurrence remembers and how fast it turns, in steps, a line each.

    The inverse of `keras_lru.initializers.ring_from_memory`: half-lives
    `ln 2 / −ln|λ|` and periods `2π / |arg λ|`, from the shortest to the longest.

    Args:
        source: A recurrent layer or a model, built; an array of eigenvalues, or a
            dictionary of arrays by name.

    Returns:
        A string to print. `"for ever"` stands for eigenvalues with |λ| of at least 1,
        `"never"` for real positive ones.

    Raises:
        ValueError: If `source` has no eigenvalues.

    Example:
        >>> from keras_lru.visualization import memory_summary
        >>> print(memory_summary({"lru": [0.8j, -0.999, 0.9 + 0.1j]}))
        lru: remembers 3.1 to 693 steps, turns in 2 to 57 steps
    """
    lines = []
    for name, eigenvalues in spectra(source).items():
        lives = half_lives(eigenvalues)
        with np.errstate(divide="ignore"):
            periods = 2 * math.pi / phases(eigenvalues)
        # Slower than any sequence is long.
        periods[periods > 1e12] = math.inf
        remembers = _range(lives, "for ever")
        turns = _range(periods, "never")
        turns = "never turns" if turns == "never" else f"turns in {turns}"
        text = f"remembers {remembers}, {turns}"
        lines.append(f"{name}: {text}" if name else text)
    return "\n".join(lines)


def _range(steps, endless):
    """`"2 to 57 steps"`, `"1 step"`, `"3 steps to never"`."""
    low, high = (_number(value, endless) for value in (steps.min(), steps.max()))
    if low == high:
        return low if low == endless else f"{low} step{'' if low == '1' else 's'}"
    if high == endless:
        return f"{low} step{'' if low == '1' else 's'} to {high}"
    return f"{low} to {high} steps"


def _number(value, endless):
    if math.isnan(value):
        return "nan"
    if math.isinf(value):
        return endless
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}".removesuffix(".0")
