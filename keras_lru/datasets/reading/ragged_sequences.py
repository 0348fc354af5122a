"""Many sequences of different lengths in one array."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class RaggedSequences:
    """Sequences end to end, which takes a fraction of what padded ones take.

    Args:
        steps: Array `(total_steps,)` or `(total_steps, features)`.
        lengths: Integer array, the length of each sequence.
        padding: Number, what steps after the end are filled with.

    Example:
        >>> import numpy as np
        >>> from keras_lru.datasets.reading.ragged_sequences import RaggedSequences
        >>> steps = np.arange(1, 6, dtype=np.uint8)
        >>> sequences = RaggedSequences(steps, np.array([2, 0, 3]))
        >>> sequences.pad([2, 0], length=4)
        array([[3, 4, 5, 0],
               [1, 2, 0, 0]], dtype=uint8)
        >>> sequences.weights([2, 0], length=4)
        array([[1., 1., 1., 0.],
               [1., 1., 0., 0.]], dtype=float32)
    """

    steps: np.ndarray
    lengths: np.ndarray
    padding: float = 0
    starts: np.ndarray = dataclasses.field(init=False)

    def __post_init__(self):
        lengths = np.asarray(self.lengths, np.int64)
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "starts", np.cumsum(lengths) - lengths)

    def pad(self, indices, length: int) -> np.ndarray:
        """The sequences `indices`, padded to `length` steps."""
        shape = (len(indices), length, *self.steps.shape[1:])
        padded = np.full(shape, self.padding, self.steps.dtype)
        for row, index in zip(padded, indices, strict=True):
            start, steps = self.starts[index], self.lengths[index]
            row[:steps] = self.steps[start : start + steps]
        return padded

    def weights(self, indices, length: int) -> np.ndarray:
        """1 for the steps of the sequences `indices`, 0 for those that `pad` adds."""
        there = np.arange(length) < self.lengths[indices, np.newaxis]
        return there.astype(np.float32)
