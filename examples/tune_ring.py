"""Search the ring of the eigenvalues, and the learning rate, with KerasTuner.

    python examples/tune_ring.py --task digits --trials 8
    python examples/tune_ring.py --task smnist --tuner bayesian --trials 20
    python examples/tune_ring.py --task listops --also state_size dropout

Tasks: digits (1 797 images that come with scikit-learn, no network needed), or one of
`keras_lru.experiments.get_preset`, at `--scale`. A trial is a training run of
`--epochs`, its score the best accuracy on validation data. The first line takes about
two minutes on two CPU cores. `--tuner grid` goes through the rings of the paper's
Table 5.

Into `--directory` go KerasTuner's own files, search.json (what the search was made
with), trials.csv, trials.json, ring.png (accuracy over r_min and r_max, as in the
paper's Table 5, and against max_phase), eigenvalues.png (the best trial's, before and
after training; neither for a recurrence without a ring), and best.json:

    python examples/train_lra.py --task smnist --hyperparameters .../best.json

After Ctrl-C, or kill -9, the same command with `--resume` goes on: finished trials are
kept. It takes more `--trials`, and no other settings. Several processes search together
when KERASTUNER_TUNER_ID ("chief", "tuner0", …), KERASTUNER_ORACLE_IP and
KERASTUNER_ORACLE_PORT are set; the chief draws the pictures.
"""

import argparse
import csv
import dataclasses
import json
import os
import sys
import time
from pathlib import Path

SPACES = {
    "state_size": (16, 128),
    "units": (16, 128),
    "depth": (1, 4),
    "dropout": (0.0, 0.3),
    "batch_size": (16, 64),
    "recurrent_lr_factor": (0.1, 1.0),
    "weight_decay": (0.0, 0.1),
}


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", default="digits")
    parser.add_argument("--scale", default="tiny", help="paper, small or tiny")
    parser.add_argument(
        "--tuner", choices=["random", "hyperband", "bayesian", "grid"], default="random"
    )
    parser.add_argument(
        "--trials", type=int, default=8, help="hyperband: how often it is repeated"
    )
    parser.add_argument("--epochs", type=int, default=6, help="of a trial, at most")
    parser.add_argument("--executions", type=int, default=1, help="averaged, a trial")
    parser.add_argument("--patience", type=int, help="epochs without a lower loss")
    parser.add_argument("--recurrence", default="lru", help="lru, stable_exp, exp, …")
    parser.add_argument(
        "--also", nargs="+", choices=sorted(SPACES), default=[], help="searched too"
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--seed", type=int, default=0)
    # A shell expands no ~ after =.
    path = {"type": lambda text: Path(text).expanduser()}
    parser.add_argument("--data-dir", **path, help="where TFDS keeps data; its default")
    parser.add_argument("--directory", **path, help="default: runs/tune/…")
    parser.add_argument("--resume", action="store_true", help="go on with a search")
    args = parser.parse_args()
    for name in ("trials", "epochs", "executions", "patience"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    if args.seed < 0:
        parser.error(f"--seed must be at least 0. Received: {args.seed}")
    if args.directory is None:
        name = f"{args.task}-{args.recurrence}-{args.tuner}-{args.seed}"
        args.directory = Path("runs/tune") / name
    return args


def load_digits():
    """Digits as `(images, 64, 1)` in [-1, 1], every fifth one kept for validation."""
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    pixels = (pixels[..., None] / 8.0 - 1.0).astype("float32")
    validation = np.arange(len(labels)) % 5 == 0
    return {
        "x": pixels[~validation],
        "y": labels[~validation],
        "validation_data": (pixels[validation], labels[validation]),
    }


def make_digits_model(recurrence):
    """A function from the arguments of a `SequenceClassifier` to one for digits."""
    # What the recurrence does not read is not among the arguments.
    defaults = {"state_size": 32, "r_min": 0.0, "r_max": 1.0, "max_phase": 2 * np.pi}

    def make(**arguments):
        settings = {name: arguments.get(name, defaults[name]) for name in defaults}
        template = make_recurrence(recurrence, arguments["units"], **settings)
        return SequenceClassifier(
            10, recurrence=template, norm_momentum=0.9, **arguments
        )

    return make


def make_hypermodel(args):
    """The hypermodel, and the data that its search needs."""
    options = {name: SPACES[name] for name in args.also}
    options |= {"patience": args.patience, "seed": args.seed}
    read = settings_of_recurrence(args.recurrence)
    if "state_size" in options and "state_size" not in read:
        raise ValueError(f"--also state_size: {args.recurrence} does not read it.")
    if args.tuner == "grid":
        if "r_max" not in read:
            raise ValueError(f"--tuner grid: {args.recurrence} reads no ring.")
        # The paper's grid, Table 5; ranges can't be gone through.
        ring = {"r_min": [0.0, 0.5, 0.9], "r_max": [0.9, 0.99, 0.999]}
        options["ring"] = {**ring, "fixed": {"max_phase": 2 * np.pi}}
        options["learning_rate"] = 0.004
    if args.task != "digits":
        preset = get_preset(args.task, args.scale)
        preset = dataclasses.replace(preset, recurrence=args.recurrence)
        data_options = {"data_dir": args.data_dir, "download": True}
        return LRUHyperModel(preset, data_options=data_options, **options), {}
    arguments = {"depth": 2, "units": 32}
    if "state_size" in read:
        arguments["state_size"] = 32
    ring = {"ring": "r_max" in read}
    hypermodel = LRUHyperModel(
        model=make_digits_model(args.recurrence),
        arguments={k: v for k, v in arguments.items() if k not in args.also},
        **{"batch_size": 50, "recurrent_lr_factor": 0.5, **ring, **options},
    )
    return hypermodel, load_digits()


def make_tuner(args, hypermodel):
    common = {
        "hypermodel": hypermodel,
        "objective": keras_tuner.Objective("val_accuracy", "max"),
        # KerasTuner takes 0 for none.
        "seed": args.seed + 1,
        "executions_per_trial": args.executions,
        "directory": args.directory,
        "project_name": "tuner",
        # Otherwise KerasTuner deletes what is there.
        "overwrite": False,
    }
    if args.tuner == "hyperband":
        tuner = keras_tuner.Hyperband(
            max_epochs=args.epochs, hyperband_iterations=args.trials, **common
        )
        # An earlier search in the folder has brought its own.
        tuner.oracle.hyperband_iterations = args.trials
        return tuner
    kinds = {
        "random": keras_tuner.RandomSearch,
        "bayesian": keras_tuner.BayesianOptimization,
        "grid": keras_tuner.GridSearch,
    }
    return kinds[args.tuner](max_trials=args.trials, **common)


def settings_of_search(args):
    """All that makes the trials of a search what they are."""
    names = ("task", "scale", "tuner", "epochs", "executions", "patience")
    names = (*names, "recurrence", "seed", "backend")
    return {**{name: getattr(args, name) for name in names}, "also": sorted(args.also)}


def check_folder(args):
    """Refuses a folder with a search in it, unless it is this one, to be resumed."""
    if not (args.directory / "tuner" / "oracle.json").exists():
        return
    role = os.environ.get("KERASTUNER_TUNER_ID", "")
    if not args.resume and not role:
        raise ValueError(
            f"{args.directory} holds a search already: add --resume to go on with it, "
            "or choose another --directory."
        )
    path, now = args.directory / "search.json", settings_of_search(args)
    before = json.loads(path.read_text()) if path.exists() else now
    different = [name for name in now if now[name] != before.get(name)]
    if different:
        raise ValueError(
            f"--resume goes on with the search in {args.directory}, and takes no other "
            "settings but more --trials. "
            + "; ".join(f"{k}: {before.get(k)}, not {now[k]}" for k in different)
        )
    if not role and (again := repair_search(args.directory / "tuner")):
        print(f"Files were cut off: trials {', '.join(again)} run again.")


def write_settings(args):
    """Keeps what the search is made with; whole, as several processes do so."""
    args.directory.mkdir(parents=True, exist_ok=True)
    new = args.directory / f"search.json.{os.getpid()}"
    new.write_text(json.dumps(settings_of_search(args), indent=2))
    new.replace(args.directory / "search.json")


def write_tables(table, directory):
    (directory / "trials.json").write_text(json.dumps(table, indent=2))
    names = list(dict.fromkeys(name for row in table for name in row["settings"]))
    with open(directory / "trials.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["trial_id", "status", "score", *names])
        for row in table:
            settings = [row["settings"].get(name) for name in names]
            writer.writerow([row["trial_id"], row["status"], row["score"], *settings])


def print_table(table, count=10):
    names = [name for name in table[0]["settings"] if varies(table, name)]
    print("\naccuracy", *(f"{name:>12}" for name in names))
    for row in table[:count]:
        score = row["status"] if row["score"] is None else f"{100 * row['score']:.2f} %"
        values = (f"{row['settings'][name]:12.5g}" for name in names)
        print(f"{score:>8}", *values)


def varies(table, name):
    return len({row["settings"].get(name) for row in table}) > 1


def draw_ring(table, path):
    """Accuracy over the ring, and against the largest phase if that was searched."""
    finished = [row for row in table if row["score"] is not None]
    score = np.array([100 * row["score"] for row in finished])
    r_min, r_max, phase = (
        np.array([row["settings"][name] for row in finished])
        for name in ("r_min", "r_max", "max_phase")
    )
    panels = 2 if varies(finished, "max_phase") else 1
    figure, axes = plt.subplots(
        1, panels, figsize=(5 * panels, 4), layout="constrained", squeeze=False
    )
    ring = axes[0, 0]
    # Limits first: Matplotlib finds none on a log scale for rings of one `r_max`.
    limits = (2 * (1 - r_max).max(), (1 - r_max).min() / 2)
    ring.set(xlabel="r_min", ylabel="1 - r_max", title="The ring")
    ring.set(yscale="log", ylim=limits, xmargin=0.15)
    points = ring.scatter(r_min, 1 - r_max, c=score, s=60, edgecolors="0.4")
    for x, y, value in zip(r_min, 1 - r_max, score, strict=True):
        ring.annotate(f"{value:.1f}", (x, y), (0, 7), textcoords="offset points")
    figure.colorbar(points, ax=ring, label="accuracy, %")
    if panels == 2:
        axes[0, 1].scatter(phase, score)
        axes[0, 1].set(xlabel="max_phase", ylabel="accuracy, %", xscale="log")
        axes[0, 1].set(title="The largest phase")
        axes[0, 1].grid(alpha=0.3)
    figure.savefig(path, dpi=100)


def draw_eigenvalues(tuner, path):
    """The best trial's eigenvalues, as they were drawn and as they were trained."""
    hp = tuner.get_best_hyperparameters()[0]
    trained = tuner.get_best_models()[0]
    initial = tuner.hypermodel.build(hp)
    initial.build_from_config(trained.get_build_config())
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.5), layout="constrained")
    for axis, model, when in (
        (axes[0], initial, "before"),
        (axes[1], trained, "after"),
    ):
        plot_eigenvalues(model, ax=axis)
        axis.set_title(f"The best trial {when} training")
    figure.savefig(path, dpi=100)


def main(args):
    role = os.environ.get("KERASTUNER_TUNER_ID", "")
    check_folder(args)
    start = time.perf_counter()
    hypermodel, data = make_hypermodel(args)
    write_settings(args)
    tuner = make_tuner(args, hypermodel)
    if args.tuner != "hyperband":
        data["epochs"] = args.epochs
    tuner.search(verbose=1 if sys.stdout.isatty() else 2, **data)
    if role and role != "chief":
        return

    table = trial_table(tuner)
    write_tables(table, args.directory)
    print_table(table)
    if table[0]["score"] is None:
        sys.exit("No trial was completed.")
    best = args.directory / "best.json"
    best.write_text(json.dumps(table[0]["settings"], indent=2))
    if "r_max" in table[0]["settings"]:
        draw_ring(table, args.directory / "ring.png")
        draw_eigenvalues(tuner, args.directory / "eigenvalues.png")
    else:
        print(f"\nNo pictures: {args.recurrence} starts on no ring.")
    print(
        f"\nBest:  {best}\nTrials: {args.directory / 'trials.csv'}\n"
        f"Time:  {time.perf_counter() - start:.0f} s on {args.backend}"
    )


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    print(f"Backend: {args.backend}", flush=True)

    import keras_tuner
    import matplotlib
    import numpy as np

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from keras_lru import SequenceClassifier
    from keras_lru.experiments import (
        get_preset,
        make_recurrence,
        settings_of_recurrence,
    )
    from keras_lru.tuner import LRUHyperModel, repair_search, trial_table
    from keras_lru.visualization import plot_eigenvalues

    try:
        main(args)
    except (ValueError, OSError) as error:
        sys.exit(f"tune_ring.py: error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The same command with --resume goes on from here.")
