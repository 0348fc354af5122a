"""Predict from a stream of numbers: one step a line in, one prediction a line out.

    python examples/export_savedmodel.py
    tail -f numbers.txt | python examples/stream.py runs/export_savedmodel/saved_model

Each line of standard input is one step: as many numbers as the model has features,
between spaces or commas. Each line of standard output is the model's prediction after
that step, at once. Empty lines and lines that start with # are passed over.

With `--state FILE` the stream can be cut anywhere: the states are read from the file if
it exists, and written back after the last line, after Ctrl-C, and after a bad line. So
two runs on the halves of a stream print what one run on the whole prints.

Needs TensorFlow and a folder that `keras_lru.export.export_saved_model` wrote; neither
Keras nor keras_lru.
"""

import argparse
import os
import sys
from pathlib import Path


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("saved_model", type=Path, help="folder of the exported model")
    parser.add_argument("--state", type=Path, help="file that the states survive in")
    parser.add_argument("--digits", type=int, default=6, help="printed, significant")
    args = parser.parse_args()
    if not (args.saved_model / "saved_model.pb").exists():
        parser.error(f"there is no SavedModel in {args.saved_model}")
    return args


def load(path):
    model = tf.saved_model.load(str(path))
    if "step" not in model.signatures:
        sys.exit(f"{path} has no endpoint `step`: export it with `streaming=True`.")
    specs = model.signatures["step"].structured_input_signature[1]
    states = model.initial_state(1)
    inputs = [spec for name, spec in specs.items() if name not in states]
    if len(inputs) != 1 or len(inputs[0].shape) > 2:
        sys.exit(f"{path} reads more than one row of numbers a step: {inputs}")
    return model, inputs[0], states


def read_states(path, initial):
    """The states of an earlier run, or the initial ones."""
    if path is None or not path.exists():
        return initial
    try:
        with np.load(path) as file:
            states = {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        sys.exit(f"--state {path} holds no states: {error}")
    shapes = {name: tuple(value.shape) for name, value in initial.items()}
    found = {name: value.shape for name, value in states.items()}
    if found != shapes:
        sys.exit(f"--state {path} is of another model: {found}, not {shapes}")
    return {name: tf.constant(value) for name, value in states.items()}


def write_states(path, states):
    """Whole or not at all: a run may be killed while it writes."""
    new = path.with_name(f".{path.name}.new")
    with open(new, "wb") as file:
        np.savez(file, **{name: value.numpy() for name, value in states.items()})
    new.replace(path)


def parse(line, spec):
    """One step as a tensor `(1, features)`, or `(1,)` for a token."""
    values = line.replace(",", " ").split()
    count = spec.shape[1] if len(spec.shape) == 2 else 1
    if len(values) != count:
        raise ValueError(f"expected {count} numbers, received {len(values)}")
    kind = int if spec.dtype.is_integer else float
    row = [kind(value) for value in values]
    return tf.constant([row if len(spec.shape) == 2 else row[0]], spec.dtype)


def main(args):
    model, spec, initial = load(args.saved_model)
    states = read_states(args.state, initial)
    problem = None
    try:
        for number, line in enumerate(sys.stdin, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            try:
                step = parse(line, spec)
            except ValueError as error:
                problem = f"line {number}: {error}: {line.strip()!r}"
                break
            states = model.step(step, states)
            outputs = np.ravel(states.pop("outputs"))
            print(*(f"{value:.{args.digits}g}" for value in outputs), flush=True)
    except KeyboardInterrupt:
        print(file=sys.stderr)
    except BrokenPipeError:
        # The reader has gone: as `head` does. Nothing more can be flushed.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    finally:
        if args.state is not None:
            write_states(args.state, {k: v for k, v in states.items() if k in initial})
    if problem is not None:
        sys.exit(problem)


if __name__ == "__main__":
    args = parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np
    import tensorflow as tf

    main(args)
