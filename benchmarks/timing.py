"""Interleaved rounds: every candidate once a round, ratios within the round."""

import time

import numpy as np
from tqdm import tqdm


def time_interleaved(candidates, rounds, label, until=None):
    """Seconds of each of `{name: callable}` in each round, `{name: (rounds,)}`.

    No round begins after `until`, by `time.perf_counter()`, but the first two.
    """
    seconds = {name: [] for name in candidates}
    for round_index in tqdm(range(rounds + 1), desc=label, leave=False):
        if until is not None and round_index > 1 and time.perf_counter() > until:
            break
        for name, call in candidates.items():
            start = time.perf_counter()
            call()
            elapsed = time.perf_counter() - start
            # The first round warms caches and thread pools.
            if round_index:
                seconds[name].append(elapsed)
    return {name: np.array(values) for name, values in seconds.items()}


def ratio(seconds, name, reference):
    """Median and quartiles of how many times longer `name` takes than `reference`."""
    quotients = seconds[name] / seconds[reference]
    return [float(q) for q in np.percentile(quotients, [50, 25, 75])]
