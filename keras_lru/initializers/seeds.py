"""Seeds: fixed where a layer is made, and another one for each of its parts."""

import numbers
import random
import zlib

import numpy as np

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


def derive_seed(seed, *path):
    """Derives the seed of one part of a model from the seed of the whole.

    Args:
        seed: Integer, or `None`.
        *path: What names the part: strings and integers.

    Returns:
        An integer in `[0, 2**31)`, the same for the same arguments, or `None`
        when `seed` is `None`.
    """
    if seed is None:
        return None
    entropy = [seed % 2**64, zlib.crc32(repr(path).encode())]
    return int(np.random.SeedSequence(entropy).generate_state(1)[0] >> 1)
