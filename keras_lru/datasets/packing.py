"""Many short sequences in rows of one length, for layers that take `reset`."""

import bisect
import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_lru.checks import check_positive_integer


@dataclasses.dataclass(frozen=True, eq=False)
class PackedSequences:
    """What `pack` returns.

    Attributes:
        inputs: Array `(rows, length)` or `(rows, length, features)`, zero where no
            sequence is.
        reset: Boolean `(rows, length)`, true at the first step of each sequence.
        sample_weight: float32 `(rows, length)`, 1 at steps of sequences, else 0: for
            `model.fit`, so that the rest does not count.
        rows: Integers, the row that each sequence is in, in the order of the sequences.
        starts: Integers, the step that it starts at.
        lengths: Integers, its number of steps.
    """

    inputs: np.ndarray
    reset: np.ndarray
    sample_weight: np.ndarray
    rows: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray

    def pack(self, values: Sequence) -> np.ndarray:
        """Puts others where the sequences are: their targets, or the sizes of steps.

        Args:
            values: For each sequence an array with as many steps.

        Returns:
            Array `(rows, length, …)`, zero where no sequence is.

        Raises:
            ValueError: If their number or their steps differ.
        """
        arrays = _arrays("values", values)
        lengths = [len(array) for array in arrays]
        if lengths != list(self.lengths):
            raise ValueError(
                "`values` must have the steps of the sequences, "
                f"{_shortened(self.lengths)}. Received: {_shortened(lengths)}"
            )
        packed = np.zeros(
            (*self.reset.shape, *arrays[0].shape[1:]), np.result_type(*arrays)
        )
        for array, row, start in zip(arrays, self.rows, self.starts, strict=True):
            packed[row, start : start + len(array)] = array
        return packed

    def unpack(self, outputs) -> list[np.ndarray]:
        """Takes the sequences out of the rows, in their own order.

        Args:
            outputs: Array `(rows, length, …)`: what a model makes of `inputs`.

        Returns:
            A list of arrays `(steps, …)`.

        Raises:
            ValueError: If there are other rows or another length.
        """
        outputs = np.asarray(outputs)
        if outputs.shape[:2] != self.reset.shape:
            raise ValueError(
                "`outputs` must have shape (rows, length, …) = "
                f"{(*self.reset.shape, ...)}. Received: shape {outputs.shape}"
            )
        return [
            outputs[row, start : start + steps]
            for row, start, steps in zip(
                self.rows, self.starts, self.lengths, strict=True
            )
        ]


def pack(sequences: Sequence, length: int) -> PackedSequences:
    """Puts many short sequences, one after the other, into rows of one length.

    A batch of them has next to no padding, and a layer called with `reset` keeps them
    apart: `model(packed.inputs, reset=packed.reset)`. The longest come first, each into
    the fullest row that has room for it.

    Args:
        sequences: Arrays `(steps, features)` of any steps, or of tokens `(steps,)`.
        length: Positive integer, steps of a row: those of the longest at least.

    Returns:
        A `PackedSequences`.

    Raises:
        ValueError: If there are none, they differ in more than their steps, one has no
            step, or one is longer than `length`.

    Example:

    >>> import numpy as np
    >>> from keras_lru.datasets import pack
    >>> packed = pack([[1, 2], [3, 4, 5], [6]], length=4)
    >>> packed.inputs
    array([[3, 4, 5, 6],
           [1, 2, 0, 0]])
    >>> packed.reset.astype(int)
    array([[1, 0, 0, 1],
           [1, 0, 1, 0]])
    >>> [x.tolist() for x in packed.unpack(packed.inputs)]
    [[1, 2], [3, 4, 5], [6]]
    """
    length = check_positive_integer("length", length)
    arrays = _arrays("sequences", sequences)
    lengths = np.array([len(array) for array in arrays])
    if lengths.min() == 0:
        raise ValueError(
            "`sequences` must have a step each. Received: none in sequence "
            f"{int(lengths.argmin())}"
        )
    if lengths.max() > length:
        raise ValueError(
            "`length` must be the steps of the longest sequence at least, "
            f"{lengths.max()}. Received: length={length}"
        )
    rows, starts, used = _places(lengths, length)
    shape = (len(used), length)
    reset, weight = np.zeros(shape, bool), np.zeros(shape, np.float32)
    for row, steps in enumerate(used):
        weight[row, :steps] = 1
        # What is left of a row is a sequence of its own: it has no past to decay.
        reset[row, steps:][:1] = True
    reset[rows, starts] = True
    packed = PackedSequences(weight, reset, weight, rows, starts, lengths)
    return dataclasses.replace(packed, inputs=packed.pack(arrays))


def _places(lengths, length):
    """The row of each sequence, its start in it, and the steps used of each row."""
    rows = np.zeros(len(lengths), int)
    starts = np.zeros(len(lengths), int)
    used: list[int] = []
    # The rooms that rows have left, and the rows.
    rooms: list[int] = []
    with_room: dict[int, list[int]] = {}
    for index in np.argsort(-lengths, kind="stable"):
        steps = int(lengths[index])
        at = bisect.bisect_left(rooms, steps)
        if at == len(rooms):
            used.append(0)
            row, room = len(used) - 1, length
        else:
            room = rooms[at]
            row = with_room[room].pop()
            if not with_room[room]:
                del with_room[room], rooms[at]
        rows[index], starts[index] = row, used[row]
        used[row] += steps
        if room > steps:
            if room - steps not in with_room:
                bisect.insort(rooms, room - steps)
            with_room.setdefault(room - steps, []).append(row)
    return rows, starts, used


def _arrays(name, values):
    """Arrays of steps that differ in nothing but their number."""
    arrays = [np.asarray(value) for value in values]
    if not arrays:
        raise ValueError(f"`{name}` must hold a sequence. Received: none")
    shapes = {array.shape[1:] for array in arrays}
    if len(shapes) > 1 or any(array.ndim == 0 for array in arrays):
        raise ValueError(
            f"`{name}` must be arrays of steps alike, (steps, features) or (steps,). "
            f"Received: shapes {_shortened([array.shape for array in arrays])}"
        )
    return arrays


def _shortened(values, count=5):
    """The first few, as text."""
    text = ", ".join(str(value) for value in list(values)[:count])
    return f"[{text}, …]" if len(values) > count else f"[{text}]"
