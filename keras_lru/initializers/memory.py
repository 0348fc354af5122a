"""The ring of the eigenvalues in units that a user knows: steps."""

import math
from collections.abc import Sequence

from keras_lru.checks import is_number


def ring_from_memory(
    memory: Sequence[float] = (1.0, 1000.0), shortest_period: float = 2.0
) -> dict[str, float]:
    """The arguments `r_min`, `r_max` and `max_phase` of a memory in steps.

    A state is multiplied by λ at each step. It has forgotten half of what it read after
    the half-life `ln 2 / −ln|λ|`, and it turns once in `2π / arg λ` steps.

    Args:
        memory: Two half-lives in steps, the shortest and the longest, above 0. The
            longest may be infinite.
        shortest_period: Steps of the fastest oscillation, at least 1. Below 2 nothing
            is gained: a period of 1.5 looks like one of 3.

    Returns:
        A dictionary for `LRU`, for the models, or for a preset.

    Raises:
        ValueError: If `memory` is not two such numbers, or `shortest_period` is
            below 1.

    References:
        [Orvieto et al., 2023](https://arxiv.org/abs/2303.06349), section 3.3.

    Example:

    >>> from keras_lru import LRU
    >>> from keras_lru.initializers import ring_from_memory
    >>> ring = ring_from_memory((10, 500), shortest_period=8)
    >>> {name: round(value, 4) for name, value in ring.items()}
    {'r_min': 0.933, 'r_max': 0.9986, 'max_phase': 0.7854}
    >>> layer = LRU(64, **ring)
    """
    half_lives = _checked_memory(memory)
    if not (is_number(shortest_period) and shortest_period >= 1):
        raise ValueError(
            "`shortest_period` must be a finite number of steps, at least 1. "
            f"Received: shortest_period={shortest_period!r}"
        )
    r_min, r_max = (2.0 ** (-1.0 / half_life) for half_life in half_lives)
    max_phase = 2 * math.pi / shortest_period
    return {"r_min": r_min, "r_max": r_max, "max_phase": max_phase}


def _checked_memory(memory):
    try:
        shortest, longest = memory
    except (TypeError, ValueError):
        shortest = longest = None
    infinite = isinstance(longest, float) and longest == math.inf
    if not (
        is_number(shortest)
        and (is_number(longest) or infinite)
        and 0 < shortest <= longest
    ):
        raise ValueError(
            "`memory` must be two half-lives in steps, (shortest, longest), with "
            f"0 < shortest <= longest. Received: memory={memory!r}"
        )
    return float(shortest), float(longest)
