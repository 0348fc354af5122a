"""Which examples make up which batch: a function of the seed and the step alone."""

import functools
from collections.abc import Sequence

import numpy as np

from keras_lru.datasets.generating.seeding import permutation


class Batches:
    """Batches of examples of about the same length, by the number of a step.

    An epoch reads the examples in an order of its own, or in that of the data. Each
    goes to the first bucket that is long enough, and a bucket that has `batch_size`
    of them becomes a batch. What is left in a bucket at the end of an epoch goes to
    the next longer one. So all batches of an epoch are full but the last, and every
    epoch has as many as there would be without buckets.

    Args:
        lengths: Integer array, the length of each example.
        batch_size: Positive integer.
        buckets: Increasing lengths to pad to; no example is longer than the last.
        drop_remainder: Whether to leave out an epoch's last batch if it isn't full.
        seed: Integer of at least 0, or `None` to keep the order of the data.
        name: What is shuffled: other names give other orders.
        num_shards: In how many parts of as many examples each batch is cut.
        shard_index: The part to give, from 0.

    Raises:
        ValueError: If there are too few examples for a batch, or if the last batch of
            an epoch can't be cut.

    Example:
        >>> from keras_lru.datasets.reading.batches import Batches
        >>> batches = Batches([2, 9, 3, 8], 2, buckets=[4, 10], drop_remainder=True)
        >>> [(indices.tolist(), length) for indices, length in map(batches, range(2))]
        [([0, 2], 4), ([1, 3], 10)]
    """

    def __init__(
        self,
        lengths: np.ndarray,
        batch_size: int,
        buckets: Sequence[int],
        drop_remainder: bool,
        seed: int | None = None,
        name: str = "",
        num_shards: int = 1,
        shard_index: int = 0,
    ):
        self.batch_size = batch_size
        self.rows = batch_size // num_shards
        self._shard = slice(shard_index * self.rows, (shard_index + 1) * self.rows)
        # The shortest that is long enough.
        used, self._bucket_of = np.unique(
            np.searchsorted(buckets, lengths), return_inverse=True
        )
        self.buckets = [int(buckets[i]) for i in used]
        self._seed, self._name = seed, name
        full, left = divmod(len(lengths), batch_size)
        self.has_partial = left > 0 and not drop_remainder
        self.steps_per_epoch = full + self.has_partial
        if not self.steps_per_epoch:
            raise ValueError(
                "`batch_size` must be at most the number of examples, "
                f"{len(lengths)}, if `drop_remainder=True`. "
                f"Received: batch_size={batch_size}"
            )
        if self.has_partial and num_shards > 1:
            raise ValueError(
                "`drop_remainder` must be True where batches are cut into parts and "
                f"the last one is not full: it has {left} of {batch_size} examples. "
                f"Received: num_shards={num_shards}, drop_remainder={drop_remainder}"
            )
        # Two, as a step that runs ahead may be of the next epoch.
        self._epoch = functools.lru_cache(maxsize=2)(self._plan)

    def __call__(self, step: int) -> tuple[np.ndarray, int]:
        """The examples' indices of batch number `step`, and the length to pad to."""
        epoch, step = divmod(step, self.steps_per_epoch)
        indices, length = self._epoch(epoch)[step]
        return indices[self._shard], length

    def _plan(self, epoch):
        """All batches of an epoch, in the order in which they become full."""
        size = len(self._bucket_of)
        if self._seed is None:
            order = np.arange(size)
        else:
            order = permutation(size, self._seed, self._name, epoch)
        bucket_of = self._bucket_of[order]
        batches, left = [], np.empty(0, np.int64)
        for number, length in enumerate(self.buckets):
            places = np.concatenate([np.flatnonzero(bucket_of == number), left])
            whole = len(places) - len(places) % self.batch_size
            full, left = places[:whole], places[whole:]
            for batch in full.reshape(-1, self.batch_size):
                batches.append((batch.max(), batch, length))
        batches.sort(key=lambda batch: batch[0])
        if self.has_partial:
            batches.append((size, left, self.buckets[-1]))
        return [(order[batch], length) for _, batch, length in batches]
