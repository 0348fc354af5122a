"""Follow a pendulum that is seen at irregular times, by the sizes of the steps.

    python examples/irregular_series.py             # on the backend that Keras chooses
    python examples/irregular_series.py --seeds 3

The series come from the pendulum's equation of motion, in NumPy. The times between
frames are exponential, frames are noisy, and in three of ten nothing is seen; asked for
are the true position and speed at each of them. An `LRU` is told the times as
`step_sizes`; beside it stand the same model and two `GRU` layers with them as one more
feature, at the same budget.

Then the frames come regularly: trained on one rate, tested on twice that rate, where
`rate=0.5` says so. Into `--output-dir` goes `irregular_series.png`.
"""

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np

MODELS = {
    "LRU, step_sizes": ("lru", "step_sizes"),
    "LRU, a feature": ("lru", "feature"),
    "GRU, a feature": ("gru", "feature"),
}
DAMPING, NOISE, SEEN = 0.02, 0.3, 0.7
FREQUENT = 0.25
"""Time between frames that come regularly."""


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--series", type=int, default=1024, help="to train on")
    parser.add_argument("--frames", type=int, default=100, help="of a series")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=1, help="runs of each model")
    parser.add_argument(
        "--output-dir", type=Path, default=Path("runs/irregular_series")
    )
    args = parser.parse_args()
    for name, least in (("series", 32), ("frames", 10), ("epochs", 1), ("seeds", 1)):
        if getattr(args, name) < least:
            parser.error(
                f"--{name} must be at least {least}. Received: {getattr(args, name)}"
            )
    return args


def swing(state, duration):
    """Moves pendulums on, by Runge and Kutta's method.

    Args:
        state: Angles and speeds, `(2, count)`.
        duration: How long, `(count,)`; a swing takes about 2π.
    """

    def slope(state):
        angle, speed = state
        return np.stack([speed, -np.sin(angle) - DAMPING * speed])

    h = duration / 8
    for _ in range(8):
        a = slope(state)
        b = slope(state + h / 2 * a)
        c = slope(state + h / 2 * b)
        d = slope(state + h * c)
        state = state + h / 6 * (a + 2 * b + 2 * c + d)
    return state


def film(gaps, rng):
    """What is seen of pendulums, and what is true.

    Args:
        gaps: Time before each frame, `(count, frames)`.
        rng: NumPy's generator.

    Returns:
        Frames `(count, frames, 3)`: across, along, both zero where nothing is seen, and
        whether it is; the truth, of the same shape: across, along, speed.
    """
    count, frames = gaps.shape
    state = np.stack([rng.uniform(-2, 2, count), rng.normal(size=count)])
    truth = np.empty((count, frames, 3), "float32")
    for frame in range(frames):
        state = swing(state, gaps[:, frame])
        angle, speed = state
        truth[:, frame] = np.stack([np.sin(angle), np.cos(angle), speed], axis=-1)
    noisy = truth[..., :2] + NOISE * rng.normal(size=(count, frames, 2))
    seen = rng.random((count, frames, 1)) < SEEN
    return np.concatenate([noisy * seen, seen], axis=-1).astype("float32"), truth


def irregular(count, frames, seed):
    """Times between frames, of mean 1, with what `film` returns."""
    rng = np.random.default_rng(seed)
    gaps = (0.05 + 0.95 * rng.exponential(size=(count, frames))).astype("float32")
    return gaps, *film(gaps, rng)


def regular(count, frames, gap, seed):
    """What `film` returns, of frames that come each `gap`."""
    rng = np.random.default_rng(seed)
    return film(np.full((count, frames), gap), rng)


def lru(hold, seed):
    """Two blocks of 64."""
    recurrence = keras_lru.LRU(
        64, hold=hold, initialization="log_uniform", return_sequences=True
    )
    return keras_lru.SequenceRegressor(
        3, depth=2, units=64, recurrence=recurrence, seed=seed
    )


def gru(x):
    """Two layers of 64."""
    for _ in range(2):
        x = keras.layers.GRU(64, return_sequences=True)(x)
    return keras.layers.Dense(3)(x)


def fit(model, x, truth, args):
    """Trains a model in place; returns it."""
    total_steps = args.epochs * -(-len(truth) // 32)
    keras_lru.training.compile_recommended(model, total_steps, "mean_squared_error", [])
    model.fit(x, truth, batch_size=32, epochs=args.epochs, verbose=2)
    return model


def follow(kind, told, train, test, args, seed):
    """What one of the models makes of the test."""
    keras.utils.set_random_seed(seed)
    frames, gaps = keras.Input((None, 3)), keras.Input((None,))
    if told == "step_sizes":
        # A frame is an event at its own time.
        outputs = lru("impulse", seed)(frames, step_sizes=gaps)
    else:
        x = keras.layers.Concatenate()([frames, keras.ops.expand_dims(gaps, -1)])
        outputs = lru("impulse", seed)(x) if kind == "lru" else gru(x)
    model = keras.Model([frames, gaps], outputs)
    fit(model, [train[1], train[0]], train[2], args)
    return model.predict([test[1], test[0]], verbose=0)


def change_rate(args, seed):
    """Errors at the rate of the training and at twice that, by what is told."""
    train = regular(args.series, args.frames, FREQUENT, 2 * seed)
    test = regular(512, 2 * args.frames, FREQUENT / 2, 2 * seed + 1)
    halved = [x[:, 1::2] for x in test]
    frames = keras.Input((None, 3))
    errors = {}

    keras.utils.set_random_seed(seed)
    regressor = lru("zero_order", seed)
    print("\nLRU, regular frames", flush=True)
    model = fit(keras.Model(frames, regressor(frames)), *train, args)
    faster = keras.Model(frames, regressor(frames, rate=0.5))
    errors["LRU, every other frame"] = error(model, *halved)
    errors["LRU, all frames"] = error(model, *test)
    errors["LRU, all frames, rate=0.5"] = error(faster, *test)

    keras.utils.set_random_seed(seed)
    print("\nGRU, regular frames", flush=True)
    model = fit(keras.Model(frames, gru(frames)), *train, args)
    errors["GRU, every other frame"] = error(model, *halved)
    errors["GRU, all frames"] = error(model, *test)
    return errors


def error(model, x, truth):
    return root_mean_square(model.predict(x, verbose=0) - truth)


def root_mean_square(x):
    return float(np.sqrt(np.mean(np.square(x))))


def since_seen(gaps, frames):
    """Time since the last frame with something to see, of those with nothing too."""
    since, passed = np.zeros_like(gaps), np.zeros(len(gaps))
    for i in range(gaps.shape[1]):
        passed = passed + gaps[:, i]
        passed[frames[:, i, 2] > 0] = 0
        since[:, i] = passed
    return since


def draw(test, found, path):
    """One pendulum, and errors by how long nothing was seen."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    gaps, frames, truth = test
    figure, axes = plt.subplots(
        1, 2, figsize=(11, 4), width_ratios=[2, 1], layout="constrained"
    )
    shown = slice(len(gaps[0]) // 2, len(gaps[0]) // 2 + 30)
    when, seen = np.cumsum(gaps[0])[shown], frames[0, shown, 2] > 0
    axes[0].plot(when, truth[0, shown, 0], "o-", color="0.7", label="true")
    axes[0].plot(when[seen], frames[0, shown, 0][seen], "kx", label="seen")
    for name, values in found.items():
        axes[0].plot(when, values[0, shown, 0], label=name, linewidth=1)
    axes[0].set(xlabel="time", ylabel="across", title="A pendulum of the test")
    since = since_seen(gaps, frames)
    edges = [0, 0.5, 1, 2, 3, 4]
    for values in found.values():
        unseen = [
            root_mean_square((values - truth)[(since > a) & (since <= b)])
            for a, b in pairwise(edges)
        ]
        points = [root_mean_square((values - truth)[since == 0]), *unseen]
        axes[1].plot(np.add([0, *edges[:-1]], [0, *edges[1:]]) / 2, points, "o-")
    axes[1].set(xlabel="time since something was seen", title="Error")
    axes[0].legend(fontsize="small")
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    errors, seconds, examples = {}, {}, {}
    for seed in range(args.seeds):
        train = irregular(args.series, args.frames, 2 * seed)
        test = irregular(512, args.frames, 2 * seed + 1)
        for name, (kind, told) in MODELS.items():
            print(f"\n{name}, seed {seed}", flush=True)
            start = time.perf_counter()
            found = follow(kind, told, train, test, args, seed)
            seconds.setdefault(name, []).append(time.perf_counter() - start)
            errors.setdefault(name, []).append(root_mean_square(found - test[2]))
            if seed == 0:
                examples[name] = found
        if seed == 0:
            draw(test, examples, args.output_dir / "irregular_series.png")
        for name, value in change_rate(args, seed).items():
            errors.setdefault(name, []).append(value)
    print("\nRoot mean square errors")
    for name, values in errors.items():
        spread = f" ± {np.std(values, ddof=1):.3f}" if len(values) > 1 else ""
        took = f", {np.mean(seconds[name]):.0f} s" if name in seconds else ""
        print(f"{name:26} {np.mean(values):.3f}{spread}{took}")
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

    import keras_lru

    main(args)
