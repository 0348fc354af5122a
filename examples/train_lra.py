"""Train a deep LRU, or another recurrence, on a task of the Long Range Arena.

    python examples/train_lra.py --task listops --scale tiny
    python examples/train_lra.py --task smnist --scale small --backend jax
    python examples/train_lra.py --task pathfinder --distribute

`--distribute` takes all devices, and on JAX those of several processes, each started by
the same command: KERAS_DISTRIBUTION_JOB_ADDRESSES, KERAS_DISTRIBUTION_NUM_PROCESSES and
KERAS_DISTRIBUTION_PROCESS_ID say where they meet.

Tasks: scifar, listops, text, retrieval, pathfinder, pathx, smnist, psmnist. Model,
batch size, optimizer and schedule are those of `keras_lru.experiments.get_preset`: at
scale "paper" the LRU paper's (Table 9), at "small" for an hour or so on a CPU, at
"tiny" for minutes. `--set` changes anything in it: `--set depth=2 learning_rate=0.002`.
Missing data are downloaded, or generated.

Every `--validate-every` steps training is validated and saved. After Ctrl-C, or
kill -9, the same command with `--resume` goes on with the same loss curve.

Into `--output-dir` go config.json, metrics.csv, tensorboard/, best.keras (the best on
validation data), last.keras, training.npz (what `--resume` reads), and at the end
curves.png and result.json: the best model on the test data, with all that is needed to
repeat the run.
"""

import argparse
import contextlib
import csv
import dataclasses
import importlib.metadata
import json
import os
import platform
import sys
import time
from pathlib import Path


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--task", required=True)
    parser.add_argument("--scale", default="paper", help="paper, small or tiny")
    parser.add_argument("--recurrence", help="what takes the place of the LRU")
    parser.add_argument("--steps", type=int, help="default: the preset's")
    parser.add_argument("--batch-size", type=int, help="default: the preset's")
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="NAME=VALUE", help="change the preset"
    )
    parser.add_argument(
        "--hyperparameters", type=Path, help="JSON of more such names and values"
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--seed", type=int, default=0)
    # A shell expands no ~ after =.
    home = {"type": os.path.expanduser}
    parser.add_argument("--data-dir", **home, help="where TFDS keeps data; its default")
    parser.add_argument(
        "--no-download", action="store_true", help="missing data are an error"
    )
    parser.add_argument(
        "--validate-every", type=int, help="steps; default: a tenth, at most 1000"
    )
    parser.add_argument(
        "--patience", type=int, help="stop after so many validations without a gain"
    )
    parser.add_argument(
        "--precision",
        choices=["float32", "mixed_bfloat16", "mixed_float16"],
        default="float32",
    )
    parser.add_argument(
        "--distribute", action="store_true", help="train on all devices"
    )
    parser.add_argument("--output-dir", type=Path, help="default: runs/lra/…")
    parser.add_argument("--resume", action="store_true", help="go on with a killed run")
    args = parser.parse_args()
    for name in ("steps", "batch_size", "validate_every", "patience"):
        value = getattr(args, name)
        if value is not None and value < 1:
            flag = f"--{name.replace('_', '-')}"
            parser.error(f"{flag} must be at least 1. Received: {value}")
    if args.seed < 0:
        parser.error(f"--seed must be at least 0. Received: {args.seed}")
    number = os.environ.get("KERAS_DISTRIBUTION_NUM_PROCESSES", "1")
    if number != "1" and not args.distribute:
        parser.error(
            "several processes train one model with --distribute; without it each "
            f"would train its own. Received: KERAS_DISTRIBUTION_NUM_PROCESSES={number}"
        )
    return args


def changes_of_preset(args):
    """What the command line changes in the preset, as a dictionary."""
    changes = {}
    if args.hyperparameters is not None:
        try:
            changes.update(json.loads(args.hyperparameters.read_text()))
        except (OSError, TypeError, ValueError) as error:
            raise ValueError(f"--hyperparameters: {error}") from error
    for setting in args.set:
        name, equals, value = setting.partition("=")
        if not equals:
            raise ValueError(f"--set must be NAME=VALUE. Received: {setting!r}")
        try:
            changes[name] = json.loads(value)
        except ValueError:
            changes[name] = value
    for name in ("recurrence", "steps", "batch_size"):
        if getattr(args, name) is not None:
            changes[name] = getattr(args, name)
    return changes


def make_preset(args):
    preset = get_preset(args.task, args.scale)
    changes = changes_of_preset(args)
    unknown = set(changes) - {field.name for field in dataclasses.fields(preset)}
    if unknown:
        raise ValueError(f"A preset has nothing of the name {sorted(unknown)}.")
    preset = dataclasses.replace(preset, **changes)
    # Whole rounds of training and validation.
    every = args.validate_every or min(1000, -(-preset.steps // 10))
    every = min(every, preset.steps)
    rounds = -(-preset.steps // every)
    return dataclasses.replace(preset, steps=rounds * every), every


def check_folder(args, config):
    """Refuses a folder with a run in it, unless it is this one, to be resumed."""
    path = args.output_dir / "config.json"
    if not path.exists():
        return
    if not args.resume:
        raise ValueError(
            f"{args.output_dir} holds a run already: add --resume to go on with it, or "
            "choose another --output-dir."
        )
    # As JSON has them: lists for tuples.
    before, now = json.loads(path.read_text()), json.loads(json.dumps(config))
    different = [name for name in now if now[name] != before.get(name)]
    if different:
        raise ValueError(
            f"--resume goes on with the run in {args.output_dir}, and takes no other "
            "settings. "
            + "; ".join(f"{k}: {before.get(k)}, not {now[k]}" for k in different)
        )


def load_split(args, preset, split, **options):
    return load(
        preset.task,
        split,
        preset.batch_size,
        data_dir=args.data_dir,
        download=not args.no_download,
        seed=args.seed,
        **preset.data_options,
        **options,
    )


def keep_rows(path, epochs):
    """Forgets what was logged after the checkpoint: it is about to be logged again."""
    if not path.exists():
        return
    # A last line without a newline was torn when the run was killed.
    lines = [line for line in path.read_text().splitlines(True) if line[-1] == "\n"]
    rows = [line for line in lines[1:] if int(line.partition(",")[0]) < epochs]
    path.write_text("".join(lines[:1] + rows) if rows else "")


def progress(model, steps):
    """Adds step, learning rate and seconds to what the callbacks after it log."""
    start = []

    def on_epoch_end(epoch, logs):
        logs["step"] = (epoch + 1) * steps
        logs["learning_rate"] = float(model.optimizer.learning_rate)
        logs["seconds"] = time.perf_counter() - start.pop()

    return keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: start.append(time.perf_counter()),
        on_epoch_end=on_epoch_end,
    )


def compiled_model(args, preset, inputs):
    model = preset.build_model(seed=args.seed)
    model.build(keras.tree.map_structure(lambda spec: tuple(spec.shape), inputs))
    model.compile(
        make_optimizer(preset),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def train(args, preset, every, config, processes, folder):
    """Trains, or goes on from the checkpoint, on one device or on all."""
    best = keras.callbacks.ModelCheckpoint(
        folder / "best.keras", "val_accuracy", mode="max", save_best_only=True
    )
    counting = [best]
    if args.patience is not None:
        counting.append(
            keras.callbacks.EarlyStopping(
                "val_accuracy", mode="max", patience=args.patience
            )
        )
    checkpoint = TrainingCheckpoint(folder / "training.npz", counting)
    done = checkpoint.epoch * every
    if checkpoint.stopped or done >= preset.steps:
        return

    # Each process reads its own rows of every batch.
    shard = {"num_shards": processes.count, "shard_index": processes.id}
    everywhere = data_parallel(auto_shard_dataset=False)
    with everywhere if args.distribute else contextlib.nullcontext(1) as devices:
        if preset.batch_size % devices:
            raise ValueError(
                f"--batch-size must be a multiple of {devices}, the number of devices. "
                f"Received: {preset.batch_size}"
            )
        train_data = load_split(
            args, preset, "train", repeat=True, start_step=done, **shard
        )
        # Devices take equal parts of a batch: an incomplete one is left out, however
        # many there are, so that their number doesn't change what is logged.
        validation_data = load_split(
            args, preset, "validation", drop_remainder=args.distribute, **shard
        )
        model = compiled_model(args, preset, train_data.element_spec[0])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2))
        keep_rows(folder / "metrics.csv", checkpoint.epoch)
        model.fit(
            train_data,
            steps_per_epoch=every,
            initial_epoch=checkpoint.epoch,
            epochs=preset.steps // every,
            validation_data=validation_data,
            shuffle=False,
            verbose=verbosity(processes),
            callbacks=[
                progress(model, every),
                keras.callbacks.CSVLogger(folder / "metrics.csv", append=True),
                keras.callbacks.TensorBoard(folder / "tensorboard", write_graph=False),
                keras.callbacks.TerminateOnNaN(),
                keras.callbacks.ModelCheckpoint(folder / "last.keras"),
                *counting,
                checkpoint,
            ],
        )


def verbosity(processes):
    if not processes.is_first:
        return 0
    return 1 if sys.stdout.isatty() else 2


def read_metrics(folder):
    with open(folder / "metrics.csv") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def draw(metrics, title, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.5), layout="constrained")
    for axis, name, factor in ((axes[0], "loss", 1), (axes[1], "accuracy", 100)):
        axis.plot(metrics["step"], factor * metrics[name], label="training")
        axis.plot(metrics["step"], factor * metrics[f"val_{name}"], label="validation")
        axis.set(xlabel="step", title=name if factor == 1 else f"{name}, %")
        axis.grid(alpha=0.3)
        axis.legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=100)


def evaluate(args, preset, config):
    """The best model on the test data, and all that the run was."""
    metrics = read_metrics(args.output_dir)
    if not np.isfinite(metrics["loss"][-1]):
        raise ValueError(
            f"training diverged: the loss was {metrics['loss'][-1]} at step "
            f"{metrics['step'][-1]:.0f}. Try a smaller learning_rate."
        )
    model = keras.models.load_model(args.output_dir / "best.keras")
    loss, accuracy = model.evaluate(load_split(args, preset, "test"), verbose=0)
    best = int(np.argmax(metrics["val_accuracy"]))
    return {
        "test_accuracy": accuracy,
        "test_loss": loss,
        "validation_accuracy": metrics["val_accuracy"][best],
        "best_step": int(metrics["step"][best]),
        "last_step": int(metrics["step"][-1]),
        "training_seconds": float(metrics["seconds"].sum()),
        "parameters": model.count_params(),
        "test_examples": num_examples(
            preset.task, "test", config=preset.config, data_dir=args.data_dir
        ),
        "run": config,
        "software": {
            "python": platform.python_version(),
            **{
                name: importlib.metadata.version(name)
                for name in ("keras-lru", "keras", args.backend, "numpy")
            },
        },
        "machine": {
            "processor": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "devices": devices(),
        },
    }


def devices():
    if keras.backend.backend() == "jax":
        import jax

        return [device.device_kind for device in jax.devices()]
    return [device.device_type for device in tf.config.list_logical_devices()]


def main(args):
    joined = (
        join_processes() if args.distribute else contextlib.nullcontext(Processes())
    )
    with joined as processes:
        run(args, processes)


def run(args, processes):
    if processes.is_first:
        print(f"Backend: {args.backend}", flush=True)
    keras.utils.set_random_seed(args.seed)
    keras.config.set_dtype_policy(args.precision)
    if args.backend == "jax":
        # TensorFlow only feeds: it would take the GPU's memory.
        tf.config.set_visible_devices([], "GPU")
    preset, every = make_preset(args)
    if args.output_dir is None:
        name = f"{preset.task}-{preset.scale}-{preset.recurrence}-{args.seed}"
        args.output_dir = Path("runs/lra") / name
    flags = ("seed", "patience", "backend", "precision", "distribute")
    config = {
        **dataclasses.asdict(preset),
        "validate_every": every,
        **{name: getattr(args, name) for name in flags},
    }
    processes.first(check_folder, args, config)
    with processes.folder(args.output_dir) as folder:
        train(args, preset, every, config, processes, folder)
    if processes.is_first:
        report(args, preset, config)


def report(args, preset, config):
    """Writes and prints what the run has come to."""
    result = evaluate(args, preset, config)
    path = args.output_dir / "result.json"
    path.write_text(json.dumps(result, indent=2))
    draw(
        read_metrics(args.output_dir),
        f"{preset.task}, {preset.scale}, {preset.recurrence}: test "
        f"{100 * result['test_accuracy']:.1f} %",
        args.output_dir / "curves.png",
    )
    print(
        f"Test accuracy: {100 * result['test_accuracy']:.2f} %, by the model of step "
        f"{result['best_step']} (validation: {100 * result['validation_accuracy']:.2f} "
        f"%), trained in {result['training_seconds']:.0f} s\nRun:           {path}"
    )


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()

    import numpy as np
    import tensorflow as tf

    from keras_lru.datasets import load, num_examples
    from keras_lru.experiments import get_preset, make_optimizer
    from keras_lru.training import (
        Processes,
        TrainingCheckpoint,
        data_parallel,
        join_processes,
    )

    try:
        main(args)
    except (ValueError, OSError, NotImplementedError) as error:
        sys.exit(f"train_lra.py: error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted. The same command with --resume goes on from here.")
