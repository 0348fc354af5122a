"""Batches of the benchmark's tasks beside a training step on them."""

import keras
import numpy as np

from benchmarks.compiled import started
from benchmarks.registry import Target, case
from keras_lru import backend
from keras_lru.datasets.reading.batched_dataset import make_dataset
from keras_lru.datasets.reading.batches import Batches
from keras_lru.datasets.reading.loading import padded_lengths
from keras_lru.datasets.reading.ragged_sequences import RaggedSequences
from keras_lru.datasets.reading.split_in_memory import Examples
from keras_lru.datasets.tasks import TASKS
from keras_lru.experiments import get_preset, make_optimizer

_BATCHES = 20
# Without an accelerator, a step on so few examples must outlast whole batches.
_ROWS = 2


def random_examples(preset, count):
    """Noise of the task's sizes: what a batch costs doesn't depend on its content."""
    task = TASKS[preset.task]
    rng = np.random.default_rng(0)
    if task.is_image:
        lengths = np.full(count, task.length // preset.downsample**2)
        shape = (lengths.sum(), task.features)
        sequences = [
            RaggedSequences(rng.integers(256, size=shape, dtype=np.uint8), lengths)
        ]
    else:
        longest = preset.max_length or task.length
        sequences = []
        for _ in task.keys:
            lengths = rng.integers(longest // 8, longest + 1, count)
            tokens = rng.integers(
                1, task.vocabulary_size, size=lengths.sum(), dtype=np.uint8
            )
            sequences.append(RaggedSequences(tokens, lengths))
    labels = rng.integers(task.num_classes, size=count, dtype=np.int32)
    return Examples(tuple(sequences), labels)


def input_candidates(preset, rows):
    """Batches without end, and a training step on `rows` examples of one of them."""
    task = TASKS[preset.task]
    examples = random_examples(preset, 10 * preset.batch_size)
    if task.is_image:
        buckets = [int(examples.lengths[0])]
    else:
        buckets = padded_lengths(task, preset.max_length, preset.buckets)
    batches = Batches(examples.lengths, preset.batch_size, buckets, True, seed=0)
    dataset = make_dataset(examples, batches, task.is_image, repeat=True)
    iterator = dataset.as_numpy_iterator()
    inputs, labels = keras.tree.map_structure(lambda x: x[:rows], next(iterator))

    model = preset.build_model()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(make_optimizer(preset), loss)

    def feed():
        for _ in range(_BATCHES):
            next(iterator)

    return {
        f"{_BATCHES} batches": started(feed),
        "training step": started(lambda: model.train_on_batch(inputs, labels)),
    }


def _input(task, scale):
    @case(
        f"input of {task}, {scale}",
        # Feeding takes a twentieth of the time.
        Target(f"{_BATCHES} batches", "training step", 1.0),
        suites=("input",),
    )
    def _():
        rows = None if backend.has_accelerator() else _ROWS
        preset = get_preset(task, scale)
        return input_candidates(preset, preset.batch_size if scale == "tiny" else rows)


# Those with one target a sequence have presets.
for _task in [name for name, task in TASKS.items() if not task.per_step]:
    for _scale in ("paper", "tiny"):
        _input(_task, _scale)
