"""Train a policy with a memory in vectorized environments, whose episodes restart.

    python examples/memory_environment.py           # on the backend that Keras chooses
    python examples/memory_environment.py --length 256 --ways 8

The environment, in NumPy, is a T-maze: a sign at the entrance, a corridor with other
signs, and where it ends a fork; the right way is that of the first sign. Corridors are
of random lengths, and where one ends the next begins, so that a rollout of fixed length
holds several episodes. Policies learn by imitation, of the known best action.

An `LRU` takes `reset`, true where an episode begins. A Keras `GRU` does not: it gets
each episode cut out and padded, a row for itself. Beside both stand the same models
without a reset; like the others they see a flag where an episode begins. All are tested
on rollouts eight times as long. What is seen does not depend on what a policy does, so
that its actions are those of one pass over a rollout. Into `--output-dir` goes
`memory_environment.png`.
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np

SHORTEST, LONGEST = 8, 48
MODELS = {
    "LRU, reset": ("lru", True),
    "LRU, no reset": ("lru", False),
    "GRU, episodes cut out": ("gru", True),
    "GRU, no reset": ("gru", False),
}


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--rollouts", type=int, default=1024, help="to train on")
    parser.add_argument("--length", type=int, default=128, help="steps of a rollout")
    parser.add_argument("--ways", type=int, default=4, help="signs, and ways at a fork")
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument(
        "--output-dir", type=Path, default=Path("runs/memory_environment")
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name, least in (("rollouts", 1), ("length", 64), ("ways", 2), ("epochs", 1)):
        if getattr(args, name) < least:
            parser.error(
                f"--{name} must be at least {least}. Received: {getattr(args, name)}"
            )
    return args


class Mazes:
    """Many T-mazes at once; where one is done the next one begins.

    Args:
        count: How many.
        ways: Number of signs and of ways at a fork.
        seed: Integer.
    """

    def __init__(self, count, ways, seed):
        self.ways = ways
        self.rng = np.random.default_rng(seed)
        self.step_in_episode = np.zeros(count, int)
        self.corridor = np.zeros(count, int)
        self.first_sign = np.zeros(count, int)
        self._begin(np.ones(count, bool))

    def _begin(self, where):
        count = where.sum()
        self.step_in_episode[where] = 0
        self.corridor[where] = self.rng.integers(SHORTEST, LONGEST + 1, count)
        self.first_sign[where] = self.rng.integers(self.ways, size=count)

    def observe(self):
        """What is seen, `(count, ways + 2)`: a sign, the entrance, the fork."""
        begins = self.step_in_episode == 0
        sign = self.rng.integers(self.ways, size=len(begins))
        sign = np.where(begins, self.first_sign, sign)
        at_fork = self.step_in_episode == self.corridor - 1
        signs = np.eye(self.ways, dtype="float32")[sign]
        flags = np.stack([begins, at_fork], axis=1).astype("float32")
        return np.concatenate([signs, flags], axis=1)

    def act(self, action):
        """Goes a step; returns the rewards and whether episodes are done."""
        done = self.step_in_episode == self.corridor - 1
        reward = (done & (action == self.first_sign)).astype("float32")
        self.step_in_episode += 1
        self._begin(done)
        return reward, done


def roll_out(count, length, ways, seed):
    """Rollouts under the best action.

    Returns:
        Observations, `(count, length, ways + 2)`; the best actions, the rewards that
        they get, and where episodes begin, `(count, length)`.
    """
    mazes = Mazes(count, ways, seed)
    steps, done = [], np.ones(count, bool)
    for _ in range(length):
        begins, best, seen = done, mazes.first_sign.copy(), mazes.observe()
        reward, done = mazes.act(best)
        steps.append((seen, best, reward, begins))
    return [np.stack(values, axis=1) for values in zip(*steps, strict=True)]


def cut_out(values, begins):
    """Episodes as rows, `(episodes, LONGEST, …)`, padded with zeros."""
    number = np.cumsum(begins.ravel()) - 1
    steps = np.arange(begins.size)
    place = steps - steps[begins.ravel()][number]
    rows = np.zeros((number[-1] + 1, LONGEST, *values.shape[2:]), values.dtype)
    rows[number, place] = values.reshape(-1, *values.shape[2:])
    return rows


def put_back(rows, begins):
    """The inverse of `cut_out`."""
    number = np.cumsum(begins.ravel()) - 1
    steps = np.arange(begins.size)
    place = steps - steps[begins.ravel()][number]
    return rows[number, place].reshape(*begins.shape, *rows.shape[2:])


def build(kind, features, ways, total_steps, seed):
    """Two blocks, or two layers, of 64, with a score for each way; compiled."""
    x, begins = keras.Input((None, features)), keras.Input((None,), dtype="bool")
    if kind == "lru":
        policy = keras_lru.SequenceRegressor(
            ways, depth=2, units=64, state_size=64, seed=seed
        )
        model = keras.Model([x, begins], policy(x, reset=begins))
    else:
        y = keras.layers.GRU(64, return_sequences=True)(x)
        y = keras.layers.GRU(64, return_sequences=True)(y)
        model = keras.Model(x, keras.layers.Dense(ways)(y))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return keras_lru.training.compile_recommended(
        model, total_steps, loss, [], weighted_metrics=["accuracy"]
    )


def arrange(kind, resets, rollouts):
    """What a model is fed: inputs, targets, and weights, which are 0 but at forks."""
    seen, best, reward, begins = rollouts
    if kind == "lru":
        # Without a reset a row is one sequence.
        return [seen, begins if resets else np.zeros_like(begins)], best, reward
    if resets:
        seen, best, reward = (cut_out(x, begins) for x in (seen, best, reward))
    return seen, best, reward


def train(kind, resets, rollouts, args):
    """The model, its accuracy in each epoch, and seconds."""
    keras.utils.set_random_seed(args.seed)
    x, best, weight = arrange(kind, resets, rollouts)
    # As many updates for all, however many rows.
    updates = -(-args.rollouts // 32)
    batch_size = -(-len(best) // updates)
    model = build(
        kind, rollouts[0].shape[-1], args.ways, args.epochs * updates, args.seed
    )
    start = time.perf_counter()
    history = model.fit(
        x,
        best,
        sample_weight=weight / weight.mean(),
        batch_size=batch_size,
        epochs=args.epochs,
        verbose=2,
    ).history
    return model, history["accuracy"], time.perf_counter() - start


def right_by_episode(model, kind, resets, rollouts):
    """Whether the ways were right, of the 1st episodes, the 2nd, and so on."""
    _, best, reward, begins = rollouts
    x, _, _ = arrange(kind, resets, rollouts)
    action = model.predict(x, batch_size=64, verbose=0).argmax(-1)
    if kind == "gru" and resets:
        action = put_back(action, begins)
    right, number = action == best, np.cumsum(begins, axis=1)
    done = reward > 0
    return [right[done & (number == n)] for n in range(1, number.max() + 1)]


def draw(curves, by_episode, ways, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name in curves:
        epochs = range(1, len(curves[name]) + 1)
        axes[0].plot(epochs, [100 * a for a in curves[name]], label=name)
        # Few rollouts have as many episodes as the last ones.
        shares = [100 * r.mean() for r in by_episode[name] if len(r) >= 50]
        axes[1].plot(range(1, len(shares) + 1), shares, label=name)
    axes[0].set(xlabel="epoch", ylabel="right ways, %", title="While training")
    axes[1].set(xlabel="episode of the rollout", title="In longer rollouts")
    axes[0].axhline(100 / ways, color="0.6", linestyle=":", label="chance")
    axes[0].legend()
    for ax in axes:
        ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    rollouts = roll_out(args.rollouts, args.length, args.ways, args.seed)
    test = roll_out(128, 8 * args.length, args.ways, args.seed + 1)
    curves, by_episode, lines = {}, {}, []
    for name, (kind, resets) in MODELS.items():
        print(f"\n{name}", flush=True)
        model, curves[name], seconds = train(kind, resets, rollouts, args)
        by_episode[name] = right_by_episode(model, kind, resets, test)
        share = 100 * np.concatenate(by_episode[name]).mean()
        first = 100 * by_episode[name][0].mean()
        learned = np.flatnonzero(np.array(curves[name]) >= 0.99)
        since = f"from epoch {learned[0] + 1} on" if len(learned) else "never"
        lines.append(
            f"{name:22} {share:5.1f} % of the forks right, {first:5.1f} % of the first "
            f"ones; 99 % in training {since}, {seconds:.0f} s"
        )
    draw(curves, by_episode, args.ways, args.output_dir / "memory_environment.png")
    episodes = int((test[2] > 0).sum())
    print(f"\n{episodes} forks in rollouts of {8 * args.length} steps")
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

    import keras_lru

    main(args)
