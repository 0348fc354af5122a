"""Seeds that are fixed where an initializer or a layer is made."""

import random


def draw_seed(seed):
    """`seed` itself, or for `None` one from Python's generator, as Keras draws them."""
    if seed is None:
        return random.randint(1, 10**9)
    if isinstance(seed, bool) or not isinstance(seed, int):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")
    return seed
