"""Seeds that are fixed where an initializer or a layer is made."""

import numbers
import random

from keras_lru.checks import is_number


def check_seed(seed):
    """Raise `ValueError` unless `seed` is an integer or `None`; return it as such."""
    if seed is None:
        return None
    if not is_number(seed, numbers.Integral):
        raise ValueError(f"`seed` must be an integer or None. Received: seed={seed!r}")
    return int(seed)


def draw_seed(seed):
    """`seed` itself, or for `None` one from Python's generator, as Keras draws them."""
    seed = check_seed(seed)
    return random.randint(1, 10**9) if seed is None else seed
