"""Classify series of any length, such as a sensor's, with masks where they end.

    python examples/classify_series.py                    # on Keras's choice of backend
    python examples/classify_series.py --beside lstm gru  # these too, the same budget
    python examples/classify_series.py --dataset OSULeaf

No network: the data sets come with aeon. The default one, PickupGestureWiimoteZ, is the
acceleration of a Wiimote that ten people picked up, 29 to 361 steps, 50 to train on and
50 to test. Nothing is chosen for a data set: neither the ring (models start over all
memories) nor the rates. Into `--output-dir` go `classify_series.png` and `model.keras`.
"""

import argparse
import os
import time
from pathlib import Path

# Of one variable and of several, of one length and of many; all small.
DATASETS = {
    "ACSF1": 10,
    "ArrowHead": 10,
    "BasicMotions": 8,
    "GunPoint": 10,
    "ItalyPowerDemand": 10,
    "JapaneseVowels": 16,
    "OSULeaf": 16,
    "PickupGestureWiimoteZ": 10,
}
"""Batch sizes, by the size of the training set alone."""


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument(
        "--dataset", choices=sorted(DATASETS), default="PickupGestureWiimoteZ"
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument(
        "--beside",
        nargs="*",
        default=[],
        choices=["lstm", "gru"],
        help="train these too, at the same budget",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/classify_series"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1. Received: {args.epochs}")
    return args


def load(name):
    """Training and test data, `(series, masks, labels)` each, and how many classes.

    Series are padded to the longest, `(series, time, variables)`, and measured in the
    training set's standard deviations.
    """
    import numpy as np
    from aeon.datasets import load_classification

    splits = [load_classification(name, split=split) for split in ("train", "test")]
    longest = max(x.shape[-1] for sequences, _ in splits for x in sequences)
    classes = sorted(set(splits[0][1]))
    data = []
    for sequences, labels in splits:
        x = np.zeros((len(sequences), longest, len(sequences[0])), "float32")
        mask = np.zeros(x.shape[:2], bool)
        for row, sequence in enumerate(sequences):
            x[row, : sequence.shape[-1]] = sequence.T
            mask[row, : sequence.shape[-1]] = True
        data.append((x, mask, np.array([classes.index(label) for label in labels])))
    seen = data[0][0][data[0][1]]
    mean, scale = seen.mean(0), seen.std(0)
    data = [((x - mean) / scale * mask[..., None], mask, y) for x, mask, y in data]
    return *data, len(classes)


def build(kind, shape, classes, total_steps, seed):
    """Two blocks, or two layers, of 64; compiled."""
    import keras

    import keras_lru

    x, mask = keras.Input(shape), keras.Input(shape[:1], dtype="bool")
    if kind == "lru":
        model = keras_lru.SequenceClassifier(
            classes, depth=2, units=64, state_size=64, seed=seed
        )
        outputs = model(x, mask=mask)
    else:
        layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind]
        outputs = layer(64, return_sequences=True)(x, mask=mask)
        outputs = layer(64)(outputs, mask=mask)
        outputs = keras.layers.Dense(classes)(outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras_lru.training.compile_recommended(
        keras.Model([x, mask], outputs), total_steps, loss, ["accuracy"]
    )


def train(kind, data, classes, batch_size, epochs, seed, verbose="auto"):
    """Trains on the first part of the data, tests on the second.

    Returns:
        The model, the test accuracy in percent, seconds, and the accuracies of the
        epochs.
    """
    import keras

    keras.utils.set_random_seed(seed)
    (x, mask, y), (test_x, test_mask, test_y) = data
    total_steps = epochs * -(-len(y) // batch_size)
    model = build(kind, x.shape[1:], classes, total_steps, seed)
    start = time.perf_counter()
    history = model.fit(
        [x, mask], y, batch_size=batch_size, epochs=epochs, verbose=verbose
    ).history
    seconds = time.perf_counter() - start
    _, accuracy = model.evaluate([test_x, test_mask], test_y, verbose=0)
    return model, 100 * accuracy, seconds, history["accuracy"]


def draw(data, classes, curves, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    x, mask, y = data[0]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for label in range(min(classes, 4)):
        row = list(y).index(label)
        axes[0].plot(x[row, mask[row], 0], label=f"class {label}")
    axes[0].set(xlabel="step", title="A series of each class")
    axes[0].legend()
    for kind, accuracy in curves.items():
        axes[1].plot([100 * a for a in accuracy], label=kind.upper())
    axes[1].set(xlabel="epoch", ylabel="%", title="Accuracy while training")
    axes[1].legend()
    axes[1].grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    *data, classes = load(args.dataset)
    lengths = data[0][1].sum(1)
    print(
        f"{args.dataset}: {len(data[0][2])} series to train on, {len(data[1][2])} to "
        f"test, {lengths.min()} to {lengths.max()} steps, {classes} classes"
    )
    curves, lines = {}, []
    for kind in ["lru", *args.beside]:
        print(f"\n{kind.upper()}")
        model, accuracy, seconds, curves[kind] = train(
            kind, data, classes, DATASETS[args.dataset], args.epochs, args.seed
        )
        lines.append(f"{kind.upper():5} {accuracy:.1f} % on the test, {seconds:.0f} s")
        if kind == "lru":
            model.save(args.output_dir / "model.keras")
            remembers = memory_summary(model)
    draw(data, classes, curves, args.output_dir / "classify_series.png")
    print(f"\n{remembers}")
    print("\n".join(lines))
    print(f"On {args.backend}; see {args.output_dir}")


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    print(f"Backend: {args.backend}", flush=True)

    from keras_lru.visualization import memory_summary

    main(args)
