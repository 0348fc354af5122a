"""Random numbers that depend on a seed, a split and an example's index alone."""

import zlib

import numpy as np


def seed_sequence(seed: int, split: str, *index: int) -> np.random.SeedSequence:
    """The entropy of one example, or of a whole split if no index is given."""
    key = (zlib.crc32(split.encode()), *index)
    return np.random.SeedSequence(seed, spawn_key=key)


def random_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """A generator for one example, independent of all others.

    Args:
        seed: Integer of at least 0, the dataset's seed.
        split: Name of the split: `"train"`, `"validation"`, `"test"`.
        index: Integer of at least 0, the example's number in its split.

    Returns:
        A `numpy.random.Generator` (PCG64).

    Example:
        >>> from keras_lru.datasets.seeding import random_generator
        >>> first, again, other = (random_generator(0, "train", i) for i in (7, 7, 8))
        >>> draw = first.integers(10, size=5)
        >>> bool((draw == again.integers(10, size=5)).all())
        True
        >>> bool((draw == other.integers(10, size=5)).all())
        False
    """
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, split, index)))
