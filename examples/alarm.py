"""Raise an alarm on a stream, by the exported step of a model of what is normal.

    python examples/alarm.py                       # on the backend that Keras chooses

The series comes with aeon, so no network is needed: the blood pressure of a pig, from
the UCR anomaly archive, 1 200 steps of it normal and 7 501 to watch, with something
wrong for twelve steps. A forecaster learns the next step on the normal part and is
exported for a stream. Then TensorFlow alone runs it, a step at a time, and its states
are all that is kept. The alarm rings where the forecast errs by more than it ever did
on normal steps it was not trained on, times `--margin`. Into `--output-dir` go
`alarm.png` and `saved_model/`.
"""

import argparse
import os
import time
from pathlib import Path

WINDOW = 200


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--margin", type=float, default=3.0)
    parser.add_argument("--output-dir", type=Path, default=Path("runs/alarm"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1. Received: {args.epochs}")
    if args.margin <= 0:
        parser.error(f"--margin must be above 0. Received: {args.margin}")
    return args


def load_series():
    """The normal part, the part to watch, and where the latter is wrong."""
    from aeon.datasets import load_kdd_tsad_135

    (normal, _), (watched, wrong) = (
        load_kdd_tsad_135(split=split) for split in ("train", "test")
    )
    return normal.astype("float32"), watched.astype("float32"), wrong.astype(bool)


def train(normal, args):
    """A forecaster of the next step."""
    windows = np.lib.stride_tricks.sliding_window_view(normal, WINDOW + 1)
    x, y = windows[:, :-1, None], windows[:, -1:, None]
    model = keras_lru.SequenceForecaster(
        1, depth=1, units=32, state_size=64, seed=args.seed
    )
    model.adapt(normal)
    keras_lru.training.compile_recommended(model, args.epochs * -(-len(x) // 32))
    model.fit(x, y, batch_size=32, epochs=args.epochs)
    return model


class Watch:
    """Runs a stream through an exported model; compares each step with its forecast.

    Args:
        path: Folder that `export_saved_model` wrote.
    """

    def __init__(self, path):
        self.served = tf.saved_model.load(str(path))
        self.states = self.served.initial_state(1)
        self.expected = None

    def error(self, value):
        """How far a value is from what was forecast; 0 at the first step."""
        error = 0.0 if self.expected is None else abs(value - self.expected)
        self.states = self.served.step(np.array([[value]], "float32"), self.states)
        self.expected = float(self.states.pop("outputs")[0, 0, 0])
        return error


def draw(watched, wrong, errors, threshold, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 1, figsize=(9, 5), sharex=True, layout="constrained")
    axes[0].plot(watched, linewidth=0.5)
    axes[0].set(ylabel="pressure", title="What is watched, wrong where it is shaded")
    axes[1].plot(errors, linewidth=0.5)
    axes[1].axhline(threshold, color="tab:red", label="alarm")
    axes[1].set(xlabel="step", ylabel="error of the forecast")
    axes[1].legend()
    steps = np.flatnonzero(wrong)
    for ax in axes:
        ax.axvspan(steps[0] - 20, steps[-1] + 20, color="tab:red", alpha=0.2)
    figure.savefig(path, dpi=120)


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    keras.utils.set_random_seed(args.seed)
    normal, watched, wrong = load_series()
    # The last fifth of the normal part says how far a forecast errs.
    kept = len(normal) // 5
    model = train(normal[:-kept], args)
    saved_model = args.output_dir / "saved_model"
    export_saved_model(model, saved_model, overwrite=True, verbose=False)

    watch = Watch(saved_model)
    usual = [watch.error(value) for value in normal]
    threshold = args.margin * max(usual[-kept:])
    # What is watched does not go on where the normal part ends.
    watch = Watch(saved_model)
    start = time.perf_counter()
    errors = np.array([watch.error(value) for value in watched])
    rate = len(watched) / (time.perf_counter() - start)

    rung = np.flatnonzero(errors > threshold)
    steps = np.flatnonzero(wrong)
    near = (rung >= steps[0] - 5) & (rung <= steps[-1] + 20)
    draw(watched, wrong, errors, threshold, args.output_dir / "alarm.png")
    print(f"\nWrong at steps {steps[0]} to {steps[-1]} of {len(watched)}")
    print(f"Largest error at step {errors.argmax()}")
    print(f"Alarms near them: {near.sum()}; elsewhere: {(~near).sum()}")
    print(f"Watched {rate:.0f} steps a second; trained on {args.backend}")


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    print(f"Backend: {args.backend}", flush=True)

    import numpy as np
    import tensorflow as tf

    import keras_lru
    from keras_lru.export import export_saved_model

    main(args)
