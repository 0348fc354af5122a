"""Tasks whose data come inside packages, are generated, or are prepared by TFDS.

Lengths, batches and epochs were fixed before anything was compared, for minutes on two
cores.
"""

import dataclasses
import functools
import sysconfig
from collections.abc import Callable
from pathlib import Path

import numpy as np


@dataclasses.dataclass
class Task:
    """Data, and how long to train on them.

    Attributes:
        kind: `"class"`: a class for each sequence; `"forecast"`: a horizon of values;
            `"tokens"`: a token for each of the last steps.
        train: Inputs, targets and masks, NumPy arrays; `None` where there is no mask.
        test: The same.
        outputs: Number of classes, steps of the horizon, or tokens.
        batch_size: Examples a batch.
        epochs: How often to go through the training data.
        vocabulary_size: Number of tokens, `None` for features.
        mask_zero: Whether token 0 is padding.
        answer_steps: How many of the last steps are asked for, `None` for all.
        series: The series before it was cut into windows, `None` but for forecasts.
        measure: `"accuracy"` in percent, `"MAE"` in standard deviations of the training
            series, or `"bits"` a token.
    """

    kind: str
    train: tuple
    test: tuple
    outputs: int
    batch_size: int
    epochs: int
    vocabulary_size: int | None = None
    mask_zero: bool = False
    answer_steps: int | None = None
    series: np.ndarray | None = None
    measure: str = "accuracy"

    @property
    def total_steps(self):
        """Batches that are trained on."""
        return self.epochs * -(-len(self.train[1]) // self.batch_size)


def _from_aeon(name, batch_size, epochs):
    """A classification problem that comes with aeon, its own split."""
    from aeon.datasets import load_classification

    (train, train_y), (test, test_y) = (
        load_classification(name, split=split) for split in ("train", "test")
    )
    longest = max(x.shape[-1] for x in [*train, *test])
    labels = sorted(set(train_y))

    def padded(sequences):
        x = np.zeros((len(sequences), longest, len(sequences[0])), "float32")
        mask = np.zeros(x.shape[:2], bool)
        for row, sequence in enumerate(sequences):
            x[row, : sequence.shape[-1]] = sequence.T
            mask[row, : sequence.shape[-1]] = True
        return x, mask

    (x, mask), (test_x, test_mask) = padded(train), padded(test)
    mean, scale = x[mask].mean(0), x[mask].std(0)
    x, test_x = (
        (values - mean) / scale * m[..., None]
        for values, m in ((x, mask), (test_x, test_mask))
    )
    y, test_y = (np.array([labels.index(v) for v in ys]) for ys in (train_y, test_y))
    if mask.all() and test_mask.all():
        mask = test_mask = None
    train, test = (x, y, mask), (test_x, test_y, test_mask)
    return Task("class", train, test, len(labels), batch_size, epochs)


def _forecast(series, length, horizon, stride, batch_size, epochs):
    """Windows of the first four fifths of a series, and of the last one."""
    split = int(0.8 * len(series))
    series = ((series - series[:split].mean()) / series[:split].std()).astype("float32")

    def cut(part, every):
        windows = np.lib.stride_tricks.sliding_window_view(part, length + horizon)
        windows = windows[::every, :, None]
        return windows[:, :length], windows[:, length:], None

    return Task(
        "forecast",
        cut(series[:split], stride),
        cut(series[split - length :], stride),
        horizon,
        batch_size,
        epochs,
        series=series[:split, None],
        measure="MAE",
    )


def co2():
    """Weekly CO2 at Mauna Loa, 1958 to 2001: two years in, half a year out."""
    from statsmodels.datasets import co2

    values = co2.load_pandas().data["co2"].interpolate().to_numpy()
    return _forecast(values, 104, 26, stride=1, batch_size=32, epochs=15)


def sensor():
    """Two oscillations, one of them modulated, a random walk, and noise."""
    rng = np.random.default_rng(7)
    t = np.arange(12_000)
    series = (
        np.sin(2 * np.pi * t / 50)
        + 0.5 * np.sin(2 * np.pi * t / 173 + 1) * np.sin(2 * np.pi * t / 1900)
        + 0.015 * rng.normal(size=len(t)).cumsum()
        + 0.15 * rng.normal(size=len(t))
    )
    return _forecast(series, 400, 100, stride=5, batch_size=32, epochs=8)


def digits(side=8):
    """Scikit-learn's digits, pixel by pixel, every fifth for the test.

    Args:
        side: Pixels of a row and of a column; the digits have 8, of more they are drawn
            by linear interpolation.
    """
    from scipy.ndimage import zoom
    from sklearn.datasets import load_digits

    x, y = load_digits(return_X_y=True)
    x = zoom(
        x.reshape(-1, 8, 8),
        (1, side / 8, side / 8),
        order=1,
        grid_mode=True,
        mode="nearest",
    )
    x = (x.reshape(len(x), -1, 1) / 8 - 1).astype("float32")
    test = np.arange(len(y)) % 5 == 0
    train, test = (x[~test], y[~test], None), (x[test], y[test], None)
    return Task("class", train, test, 10, batch_size=50, epochs=15)


def _from_lra(name, train, test, **kwargs):
    """A tiny preset's data: the first examples of the splits that TFDS prepared."""
    from keras_lru.datasets import load
    from keras_lru.experiments import get_preset

    options = get_preset(name, "tiny").data_options

    def first(split, count):
        batches = load(name, split, batch_size=100, **options).as_numpy_iterator()
        pairs = [next(batches) for _ in range(count // 100)]
        inputs, targets = zip(*pairs, strict=True)
        longest = max(x.shape[1] for x in inputs)
        inputs = [
            np.pad(x, [(0, 0), (0, longest - x.shape[1])] + [(0, 0)] * (x.ndim - 2))
            for x in inputs
        ]
        return np.concatenate(inputs), np.concatenate(targets), None

    return Task("class", first("train", train), first("test", test), 10, 50, **kwargs)


def smnist():
    """MNIST, every other pixel, one at a time; 12 000 digits, three times."""
    return _from_lra("smnist", 12_000, 2_000, epochs=3)


def listops():
    """Short ListOps; 16 000 expressions, four times."""
    from keras_lru.datasets import get_task

    vocabulary = {"vocabulary_size": get_task("listops").vocabulary_size}
    return _from_lra("listops", 16_000, 2_000, epochs=4, mask_zero=True, **vocabulary)


def copy_memory():
    """Ten symbols, to be repeated after 100 steps."""
    from keras_lru.datasets.generating.copy_sequences import BLANK, draw_sequences

    def draw(split, count):
        examples = draw_sequences(range(count), delay=100, seed=0, split=split)
        inputs, targets = (
            np.stack([example[key] for example in examples]).astype("int32")
            for key in ("inputs", "targets")
        )
        return inputs, targets[:, -10:], None

    return Task(
        "tokens",
        draw("train", 16_000),
        draw("test", 500),
        BLANK + 2,
        batch_size=64,
        epochs=4,
        vocabulary_size=BLANK + 2,
        answer_steps=10,
    )


def characters():
    """Python's standard library, 400 characters at a time."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text = "".join(
        path.read_text("utf-8", "ignore") for path in sorted(folder.glob("*.py"))[:60]
    )
    tokens = np.frombuffer(text.encode("ascii", "ignore"), np.uint8).astype("int32")
    lines = tokens[: len(tokens) // 401 * 401].reshape(-1, 401)
    np.random.default_rng(0).shuffle(lines)
    test, train = lines[:200], lines[200:3_400]
    return Task(
        "tokens",
        (train[:, :-1], train[:, 1:], None),
        (test[:, :-1], test[:, 1:], None),
        128,
        batch_size=32,
        epochs=4,
        vocabulary_size=128,
        measure="bits",
    )


TASKS: dict[str, Callable[[], Task]] = {
    "OSULeaf": lambda: _from_aeon("OSULeaf", 16, 50),
    "ACSF1": lambda: _from_aeon("ACSF1", 10, 40),
    "BasicMotions": lambda: _from_aeon("BasicMotions", 8, 40),
    "JapaneseVowels": lambda: _from_aeon("JapaneseVowels", 16, 30),
    "PickupGesture": lambda: _from_aeon("PickupGestureWiimoteZ", 10, 60),
    "digits": digits,
    "smnist": smnist,
    "listops": listops,
    "copy": copy_memory,
    "CO2": co2,
    "sensor": sensor,
    "characters": characters,
}

# The same digits, drawn with more pixels: what length does, all else being equal.
LENGTHS: dict[str, Callable[[], Task]] = {
    f"digits, {side**2} steps": functools.partial(digits, side)
    for side in (8, 16, 32, 64)
}
