"""Many sequences of different lengths in one array."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Sequences:
    """Sequences of bytes, end to end: a fraction of what padded floats take.

    Args:
        steps: uint8 array `(total_steps,)` or `(total_steps, features)`.
        lengths: Integer array, the length of each sequence.

    Example:
        >>> import numpy as np
        >>> from keras_lru.datasets.sequences import Sequences
        >>> sequences = Sequences(np.arange(1, 6, dtype=np.uint8), np.array([2, 0, 3]))
        >>> sequences.pad([2, 0], length=4)
        array([[3, 4, 5, 0],
               [1, 2, 0, 0]], dtype=uint8)
    """

    steps: np.ndarray
    lengths: np.ndarray
    starts: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self):
        lengths = np.asarray(self.lengths, np.int64)
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "starts", np.cumsum(lengths) - lengths)

    def pad(self, indices, length: int) -> np.ndarray:
        """The sequences `indices`, padded with zeros to `length` steps."""
        padded = np.zeros((len(indices), length, *self.steps.shape[1:]), np.uint8)
        for row, index in zip(padded, indices, strict=True):
            start, steps = self.starts[index], self.lengths[index]
            row[:steps] = self.steps[start : start + steps]
        return padded
