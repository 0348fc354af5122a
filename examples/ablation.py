"""The paper's ladder of recurrences, in the same blocks and with the same budget.

    python examples/ablation.py --task smnist --scale tiny --steps 300 --seeds 3
    python examples/ablation.py --task listops --rows lru s5 rnn_tanh

From the dense RNN to the LRU a step at a time, and the paper's baselines: each row is
trained by `examples/train_lra.py`, in a process of its own, once for each seed. A run
is done when it has its result.json: after Ctrl-C, or kill -9, the same command goes on.

Into `--directory` go the runs, ablation.json, ablation.md (the table, beside the
paper's column where the task is the paper's) and ablation.png.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

TRAIN = Path(__file__).with_name("train_lra.py")

# Name: what the paper calls it, the recurrence, and what it changes in the preset.
# "stable_exp" trains log θ, where the paper's rows Stable Exp and ring train θ.
DISC = ("r_min=0.0", "r_max=1.0")
ROWS = {
    "rnn_relu": ("RNN-ReLU", "rnn_relu", ()),
    "rnn_tanh": ("RNN-tanh", "rnn_tanh", ()),
    "rnn_linear": ("RNN-Lin", "rnn_linear", ()),
    "real_imag": ("Λ Real + Im", "real_imag", DISC),
    "exp": ("Λ Exp", "exp", DISC),
    "stable_exp": ("Λ Stable Exp", "stable_exp", DISC),
    "ring": ("+ ring init", "stable_exp", ()),
    "lru": ("+ normalization = LRU", "lru", ()),
    "s4d": ("S4D", "s4d", ()),
    "s5": ("S5", "s5", ()),
    "rg_lru": ("RG-LRU", "rg_lru", ()),
    "gru": ("GRU", "gru", ()),
    "lstm": ("LSTM", "lstm", ()),
}
# Test accuracy in %, mean of three seeds: Orvieto et al., 2023, tables 1 to 3 and 8.
# "50" is chance, which the paper does not measure further.
TASKS = ("scifar", "listops", "text", "retrieval", "pathfinder", "pathx")
PAPER = {
    "rnn_relu": (69.7, 37.6, 88.0, 88.5, 50, 50),
    "rnn_tanh": (69.9, 43.9, 87.2, 88.9, 50, 50),
    "rnn_linear": (72.2, 50.4, 89.1, 89.1, 50, 50),
    "real_imag": (86.5, 58.8, 87.4, 87.8, 50, 50),
    "exp": (85.4, 60.5, 86.5, 89.4, 65.4, 50),
    "stable_exp": (87.2, 59.4, 87.6, 89.1, 93.5, 50),
    "ring": (88.1, 59.4, 89.4, 90.1, 94.4, 50),
    "lru": (89.0, 60.2, 89.4, 89.9, 95.1, 94.2),
    "s4d": (91.5, 60.2, 86.4, 89.5, 94.2, 97.5),
    "s5": (88.8, 58.5, 86.2, 88.9, 95.7, 96.0),
}


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="smnist")
    parser.add_argument("--scale", default="tiny", help="paper, small or tiny")
    parser.add_argument("--rows", nargs="+", choices=list(ROWS), default=list(ROWS))
    parser.add_argument("--seeds", type=int, default=3, help="runs of a row")
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="change the preset"
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    # A shell expands no ~ after =.
    home = {"type": os.path.expanduser}
    parser.add_argument("--data-dir", **home, help="where TFDS keeps data; its default")
    parser.add_argument("--directory", type=Path, help="default: runs/ablation/…")
    args = parser.parse_args()
    for name in ("seeds", "steps"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    if args.directory is None:
        args.directory = Path("runs/ablation") / f"{args.task}-{args.scale}"
    return args


def run(args, row, seed):
    """Trains a row, or goes on, or finds it done; returns its result.json."""
    folder = args.directory / f"{row}-{seed}"
    result = folder / "result.json"
    if not result.exists():
        _, recurrence, changes = ROWS[row]
        words = ["--task", args.task, "--scale", args.scale, "--backend", args.backend]
        words += ["--recurrence", recurrence, "--seed", seed, "--output-dir", folder]
        words += ["--resume"]
        if args.steps is not None:
            words += ["--steps", args.steps]
        if args.data_dir is not None:
            words += ["--data-dir", args.data_dir]
        if changes or args.set:
            words += ["--set", *args.set, *changes]
        subprocess.run([sys.executable, TRAIN, *map(str, words)], check=True)
    return json.loads(result.read_text())


def summarize(row, results):
    accuracies = [100 * result["test_accuracy"] for result in results]
    spread = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    return {
        "name": ROWS[row][0],
        "mean": statistics.mean(accuracies),
        "std": spread,
        "accuracies": accuracies,
        "seconds": statistics.mean(r["training_seconds"] for r in results),
        "parameters": results[0]["parameters"],
    }


def paper_accuracy(args, row):
    if args.task not in TASKS or row not in PAPER:
        return None
    return PAPER[row][TASKS.index(args.task)]


def table(args, summary):
    lines = [
        "| recurrence | test accuracy, % | paper, % | parameters | seconds a run |",
        "|---|---|---|---|---|",
    ]
    for row, values in summary.items():
        paper = paper_accuracy(args, row)
        lines.append(
            f"| {values['name']} | {values['mean']:.1f} ± {values['std']:.1f} "
            f"| {'-' if paper is None else paper} | {values['parameters']:,} "
            f"| {values['seconds']:.0f} |"
        )
    return "\n".join(lines)


def draw(args, summary, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 4.5), layout="constrained")
    names = [values["name"] for values in summary.values()]
    means = [values["mean"] for values in summary.values()]
    spreads = [values["std"] for values in summary.values()]
    axis.barh(names, means, xerr=spreads, capsize=3, label="here")
    papers = [(paper_accuracy(args, row), ROWS[row][0]) for row in summary]
    papers = [pair for pair in papers if pair[0] is not None]
    if papers:
        axis.scatter(*zip(*papers, strict=True), color="black", label="paper")
        axis.legend()
    lowest = min([*means, *(value for value, _ in papers)])
    axis.set(xlabel="test accuracy, %", xlim=(max(0, lowest - 10), None))
    axis.set_title(f"{args.task}, {args.scale}, {args.seeds} seeds")
    axis.invert_yaxis()
    figure.savefig(path, dpi=100)


def main(args):
    args.directory.mkdir(parents=True, exist_ok=True)
    runs = [(row, seed) for seed in range(args.seeds) for row in args.rows]
    results = {row: [] for row in args.rows}
    for number, (row, seed) in enumerate(runs, start=1):
        print(f"Run {number} of {len(runs)}: {ROWS[row][0]}, seed {seed}", flush=True)
        results[row].append(run(args, row, seed))
    summary = {row: summarize(row, results[row]) for row in args.rows}
    lines = table(args, summary)
    (args.directory / "ablation.json").write_text(json.dumps(summary, indent=2))
    (args.directory / "ablation.md").write_text(lines + "\n")
    draw(args, summary, args.directory / "ablation.png")
    print(f"\n{lines}\n\nTable and chart: {args.directory / 'ablation.md'}, .png")


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    print(f"Backend: {args.backend}", flush=True)

    try:
        main(args)
    except subprocess.CalledProcessError as error:
        sys.exit(f"ablation.py: a run failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The same command goes on from here.")
