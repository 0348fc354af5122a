"""The copy memory task: sequences of symbols, and what to answer at each step."""

import numpy as np

from keras_lru.datasets.generating.seeding import child_words, seed_sequence

SYMBOLS = 8
COPIED = 10
BLANK, DELIMITER = SYMBOLS, SYMBOLS + 1


def draw_sequences(indices: range, delay: int, seed: int, split: str) -> list[dict]:
    """The copy memory examples of a range of indices.

    Ten random symbols are read, then blanks, a delimiter, and blanks again. The
    answer is blank until the ten last steps, which repeat the ten symbols in order.

    Args:
        indices: The examples' numbers in the split.
        delay: Positive integer, the number of steps from the last symbol to the
            delimiter.
        seed: Integer of at least 0, the dataset's seed.
        split: Name of the split.

    Returns:
        A list of dictionaries: `"inputs"` and `"targets"`, uint8 arrays of length
        `delay + 20`, with symbols 0 to 7, 8 for blank, and 9 for the delimiter.

    References:
        [Arjovsky, Shah and Bengio, 2016](https://arxiv.org/abs/1511.06464), section
        5.1; [Hochreiter and Schmidhuber, 1997](
        https://doi.org/10.1162/neco.1997.9.8.1735).

    Example:
        >>> from keras_lru.datasets.generating.copy_sequences import draw_sequences
        >>> (example,) = draw_sequences(range(1), delay=3, seed=0, split="train")
        >>> print(*example["inputs"])
        0 0 3 7 7 5 0 3 4 7 8 8 9 8 8 8 8 8 8 8 8 8 8
        >>> print(*example["targets"])
        8 8 8 8 8 8 8 8 8 8 8 8 8 0 0 3 7 7 5 0 3 4 7
    """
    split_word = seed_sequence(seed, split).generate_state(1, np.uint64)
    keys = child_words(split_word, np.arange(indices.start, indices.stop))
    words = child_words(keys[:, np.newaxis], np.arange(COPIED))
    symbols = words >> np.uint64(61)
    inputs = np.full((len(indices), delay + 2 * COPIED), BLANK, np.uint8)
    targets = inputs.copy()
    inputs[:, :COPIED] = symbols
    inputs[:, COPIED + delay - 1] = DELIMITER
    targets[:, -COPIED:] = symbols
    return [
        {"inputs": row, "targets": target}
        for row, target in zip(inputs, targets, strict=True)
    ]
