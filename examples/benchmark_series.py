"""Classify the data sets that come with aeon, beside LSTM, GRU and published results.

    python examples/benchmark_series.py                       # all, minutes each
    python examples/benchmark_series.py --datasets GunPoint ArrowHead --seeds 1

Nothing is chosen by data set but the batch size, by the number of series: two blocks or
layers of 64, 60 epochs, `compile_recommended`, and a start over all memories, all fixed
beforehand. Published are InceptionTime's and HIVE-COTE 2's accuracies on the archive's
own split, which aeon carries for the series of one variable and of one length. Each
result is kept in `--output` as it comes: stopped or killed, the same command goes on.

Needs `classify_series.py` beside it.
"""

import argparse
import json
import os
import statistics
from pathlib import Path

from classify_series import DATASETS

KINDS = ("lru", "lstm", "gru")
PUBLISHED = ("InceptionTime", "HC2")


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
        "--datasets", nargs="+", choices=sorted(DATASETS), default=sorted(DATASETS)
    )
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument(
        "--output", type=Path, default=Path("runs/benchmark_series.jsonl")
    )
    args = parser.parse_args()
    for name in ("epochs", "seeds"):
        value = getattr(args, name)
        if value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    return args


def read(path):
    """Accuracies by backend, data set, kind, epochs and seed; none of a cut line."""
    found = {}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            *key, accuracy = json.loads(line)
        except ValueError:
            continue
        found[tuple(key)] = accuracy
    return found


def published(dataset):
    """`{method: percent}`, of those that aeon carries."""
    import aeon

    folder = Path(aeon.__file__).parent / "testing" / "example_results_files"
    found = {}
    for method in PUBLISHED:
        path = folder / "classification" / "accuracy" / f"{method}_accuracy.csv"
        lines = path.read_text().splitlines() if path.exists() else []
        for name, first, *_ in (line.split(",") for line in lines[1:]):
            if name == dataset:
                found[method] = 100 * float(first)
    return found


def main(args):
    args.output.parent.mkdir(parents=True, exist_ok=True)
    found = read(args.output)
    print("| | " + " | ".join(kind.upper() for kind in KINDS), end="")
    print(" | InceptionTime | HIVE-COTE 2 |\n|---|---|---|---|---|---|")
    for dataset in args.datasets:
        cells = []
        for kind in KINDS:
            scores = [trained(found, args, dataset, kind, s) for s in range(args.seeds)]
            cells.append(f"{statistics.mean(scores):.1f}")
            if len(scores) > 1:
                cells[-1] += f" ± {statistics.stdev(scores):.1f}"
        others = published(dataset)
        cells += [f"{others[m]:.1f}" if m in others else "" for m in PUBLISHED]
        print(f"| {dataset} | " + " | ".join(cells) + " |", flush=True)


def trained(found, args, dataset, kind, seed):
    """A test accuracy, trained for where there is none."""
    key = (args.backend, dataset, kind, args.epochs, seed)
    if key not in found:
        *data, classes = load(dataset)
        _, found[key], _, _ = train(
            kind, data, classes, DATASETS[dataset], args.epochs, seed, verbose=0
        )
        # On a line of its own, after one that was cut off.
        with args.output.open("a") as file:
            file.write(f"\n{json.dumps([*key, found[key]])}\n")
        drop_compiled_programs()
    return found[key]


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    print(f"Backend: {args.backend}", flush=True)

    from classify_series import load, train

    from keras_lru.backend import drop_compiled_programs

    main(args)
