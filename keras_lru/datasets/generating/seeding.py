"""Random numbers that depend on a seed, a split and an example's index alone."""

import zlib

import numpy as np
from numpy.typing import ArrayLike


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
        >>> from keras_lru.datasets.generating.seeding import random_generator
        >>> first, again, other = (random_generator(0, "train", i) for i in (7, 7, 8))
        >>> draw = first.integers(10, size=5)
        >>> bool((draw == again.integers(10, size=5)).all())
        True
        >>> bool((draw == other.integers(10, size=5)).all())
        False
    """
    return np.random.Generator(np.random.PCG64(seed_sequence(seed, split, index)))


def child_words(words: np.ndarray, numbers: ArrayLike) -> np.ndarray:
    """The outputs `numbers` of SplitMix64 generators whose states are `words`.

    Many generators at once, any output of each: a word for every node of many trees,
    which depends on the path from the root to the node alone.

    Args:
        words: uint64 array, the generators' states; usually words themselves.
        numbers: Array of integers of at least 0, broadcast against `words`.

    Returns:
        uint64 array, evenly distributed over all values.

    References:
        [Steele, Lea and Flood, 2014](https://doi.org/10.1145/2660193.2660195), and
        Vigna's constants, as in `java.util.SplittableRandom`.

    Example:
        >>> import numpy as np
        >>> from keras_lru.datasets.generating.seeding import child_words
        >>> [hex(word) for word in child_words(np.zeros(2, np.uint64), np.arange(2))]
        ['0xe220a8397b1dcdaf', '0x6e789e6aa1b965f4']
    """
    # Arrays wrap around in silence, scalars don't.
    numbers = np.atleast_1d(numbers).astype(np.uint64)
    z = words + (numbers + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
    z ^= z >> np.uint64(30)
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def permutation(size: int, seed: int, name: str, *index: int) -> np.ndarray:
    """A random order of `range(size)`, the same on every machine.

    Args:
        size: Integer of at least 0.
        seed: Integer of at least 0.
        name: What is put in order: other names give other orders.
        *index: Integers of at least 0, such as an epoch's number.

    Returns:
        int64 array.

    Example:
        >>> from keras_lru.datasets.generating.seeding import permutation
        >>> permutation(8, 0, "pixels").tolist()
        [0, 1, 4, 3, 5, 6, 7, 2]
    """
    word = seed_sequence(seed, name, *index).generate_state(1, np.uint64)
    return np.argsort(child_words(word, np.arange(size)), kind="stable")
