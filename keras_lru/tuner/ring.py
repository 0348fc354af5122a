"""The ring of the initial eigenvalues as a search space."""

import math
from collections.abc import Mapping
from typing import Any

import keras_tuner

from keras_lru.initializers.ring import check_max_phase, check_ring
from keras_lru.tuner.hyperparameter import check_values, suggest

RING = ("r_min", "r_max", "max_phase")


def ring_hyperparameters(
    hp: keras_tuner.HyperParameters,
    *,
    prefix: str = "",
    r_max: tuple[float, float] | list[float] = (0.9, 0.9999),
    r_min_fraction: tuple[float, float] | list[float] = (0.0, 1.0),
    r_min: list[float] | None = None,
    max_phase: tuple[float, float] | list[float] = (math.pi / 100, 2 * math.pi),
    fixed: Mapping[str, float] | None = None,
) -> dict[str, float]:
    """Draw the ring on which the eigenvalues of an LRU start.

    An eigenvalue r remembers about `1 / (1 - r)` steps, so that a range of `r_max` is
    searched as `1 - r_max`, on a logarithmic scale; so is `max_phase`. `r_min` is
    searched as a fraction of `r_max`, which no draw can exceed: KerasTuner keeps the
    bounds that a hyperparameter had at first, so they can't depend on another one.
    The hyperparameters are named `one_minus_r_max`, `r_min_fraction` and `max_phase`;
    lists of choices for `r_max` and `r_min` make some of these names: a grid.

    Args:
        hp: The `keras_tuner.HyperParameters` of a trial.
        prefix: Put before the names, to search several rings at once.
        r_max: Outer radius: a tuple `(low, high)`, within [0, 1), or a list of choices
            in [0, 1].
        r_min_fraction: `r_min / r_max`: a tuple `(low, high)` or a list of choices, in
            [0, 1].
        r_min: In place of `r_min_fraction`, a list of choices for the inner radius,
            none above any `r_max`.
        max_phase: Largest phase in radians: a tuple `(low, high)` of numbers above 0,
            or a list of choices of at least 0.
        fixed: Values of `r_min`, `r_max` or `max_phase` that are not searched. An
            `r_min` must not exceed any `r_max`.

    Returns:
        A dictionary of the floats `r_min`, `r_max` and `max_phase`, arguments of `LRU`
        and of the library's models, with `0 <= r_min <= r_max <= 1`.

    Raises:
        ValueError: If an argument is not as above.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), section 3.3.

    Example:
        >>> import keras_tuner
        >>> from keras_lru.tuner import ring_hyperparameters
        >>> hp = keras_tuner.HyperParameters()
        >>> hp.values = {"one_minus_r_max": 0.01, "r_min_fraction": 0.5}
        >>> ring_hyperparameters(hp, fixed={"max_phase": 3.14})
        {'r_min': 0.495, 'r_max': 0.99, 'max_phase': 3.14}
    """
    fixed = _checked_fixed(fixed)
    outer: Any = fixed.get("r_max", check_values("r_max", r_max, 0, 1))
    r_min_fraction = check_values("r_min_fraction", r_min_fraction, 0, 1)
    phase: Any = fixed.get(
        "max_phase", check_values("max_phase", max_phase, 0, log=True)
    )
    if isinstance(outer, tuple) and outer[1] == 1:
        raise ValueError(
            "`r_max` must be a range below 1, as `1 - r_max` is searched on a "
            f"logarithmic scale. Received: r_max={r_max}"
        )
    inner: Any
    if r_min is None:
        inner = fixed.get("r_min")
    elif "r_min" in fixed or not isinstance(r_min, list):
        raise ValueError(
            "`r_min` must be a list of choices, and not in `fixed` too. Received: "
            f"r_min={r_min!r}, fixed={fixed!r}"
        )
    else:
        inner = check_values("r_min", r_min, 0, 1)
    largest = max(inner) if isinstance(inner, list) else inner or 0.0
    smallest = min(outer) if isinstance(outer, tuple | list) else outer
    check_ring(largest, smallest)

    if isinstance(outer, tuple):
        low, high = outer
        distance = (1 - high, 1 - low)
        distance = suggest(hp, f"{prefix}one_minus_r_max", distance, log=True)
        # KerasTuner rounds too: it might be just out of the range.
        outer = min(max(1 - distance, low), high)
    else:
        outer = suggest(hp, f"{prefix}r_max", outer)
    if inner is not None:
        inner = suggest(hp, f"{prefix}r_min", inner)
    else:
        fraction = suggest(hp, f"{prefix}r_min_fraction", r_min_fraction)
        inner = min(fraction, 1.0) * outer
    phase = suggest(hp, f"{prefix}max_phase", phase, log=True)
    return {"r_min": inner, "r_max": outer, "max_phase": phase}


def _checked_fixed(fixed):
    fixed = dict(fixed or {})
    unknown = sorted(set(fixed) - set(RING))
    if unknown:
        raise ValueError(
            f"`fixed` must hold values of {RING}. Received: fixed={fixed!r}"
        )
    check_ring(fixed.get("r_min", 0.0), fixed.get("r_max", 1.0))
    check_max_phase(fixed.get("max_phase", 0.0))
    return {name: float(value) for name, value in fixed.items()}
