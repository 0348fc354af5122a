"""Draw figures of the LRU paper, and check by a number what each of them shows.

    python examples/paper_figures.py          # all, on the backend that Keras chooses
    python examples/paper_figures.py --figures 2 3 4 9 --backend jax

The figures are those of Orvieto et al., 2023, https://arxiv.org/abs/2303.06349:

2  eigenvalues of a Glorot-initialized dense matrix fill the unit disc evenly
3  eigenvalues of an LRU fill a ring evenly, when initialized
4  impulse responses of three states over 16 384 steps, for large and small phases
7  a linear recurrence learns a convolution with less error than a tanh RNN
8  learning λ^100: real and imaginary parts against the exponential form
9  the norm of the state, fed with white noise, is what Proposition 3 says

Figures 7 and 8 train: 500 steps for each recurrence and rate, and 600 steps. Where the
paper doesn't give a number, such as the spread of the inputs, it is chosen here. About
two minutes in all on two CPU cores. Into `--output-dir` goes `figure-N.png` for each.
A number that is not what it should be ends the script with an error.
"""

import argparse
import os
import sys
import time
from pathlib import Path

FIGURES = ("2", "3", "4", "7", "8", "9")


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
        "--figures", nargs="+", default=["all"], choices=["all", *FIGURES]
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/figures"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.seed < 0:
        parser.error(f"--seed must be at least 0. Received: {args.seed}")
    return args


def check(holds, message):
    """Prints a number, or ends the script with it."""
    if not holds:
        sys.exit(f"This is not what the paper says: {message}")
    print(f"  {message}", flush=True)


def distance_to_uniform(values):
    """Kolmogorov–Smirnov distance between values and the uniform law on [0, 1]."""
    values = np.sort(values)
    ranks = np.arange(len(values) + 1) / len(values)
    return max(np.max(ranks[1:] - values), np.max(values - ranks[:-1]))


def figure_2(seed):
    """Theorem 1, the strong circular law: |λ|² is uniform on [0, 1]."""
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout="constrained")
    for axis, size in zip(axes, (50, 200, 1000), strict=True):
        matrix = np.random.default_rng(seed).normal(size=(size, size)) / size**0.5
        eigenvalues = np.linalg.eigvals(matrix)
        plot_eigenvalues(eigenvalues, axis, s=4)
        axis.set_title(f"N = {size}")
        # Some lie outside the disc, ever closer to it as N grows.
        distance = distance_to_uniform(np.minimum(np.abs(eigenvalues) ** 2, 1))
        limit = 1.5 / size**0.5
        check(
            distance < limit,
            f"N = {size}: fraction of |λ| ≤ r against r²: at most {distance:.3f} apart "
            f"(limit {limit:.3f})",
        )
    return figure


def figure_3(seed):
    """Lemma 2: λ is uniform on a ring if |λ|² is uniform between the squares."""
    size = 2000
    rings = ((0.0, 1.0), (0.5, 0.9), (0.9, 0.999))
    figure, axes = plt.subplots(2, 3, figsize=(10, 6), layout="constrained")
    for column, (r_min, r_max) in zip(axes.T, rings, strict=True):
        layer = keras_lru.LRU(1, size, r_min=r_min, r_max=r_max, seed=seed)
        layer.build((None, None, 1))
        plot_eigenvalues(layer, column[0], ring=(r_min, r_max), s=2)
        column[0].set_title(f"ring [{r_min}, {r_max}]")
        squares = np.abs(layer.eigenvalues) ** 2
        column[1].hist(squares, bins=20, density=True)
        column[1].axhline(1 / (r_max**2 - r_min**2), color="k", linestyle="--")
        column[1].set(xlabel="|λ|²", ylabel="density")
        distance = distance_to_uniform((squares - r_min**2) / (r_max**2 - r_min**2))
        # Exceeded once in a thousand times.
        limit = 1.95 / size**0.5
        check(
            distance < limit,
            f"ring [{r_min}, {r_max}]: Kolmogorov-Smirnov distance of |λ|² to uniform "
            f"{distance:.3f} (limit {limit:.3f})",
        )
    return figure


def figure_4(seed):
    """Section 4: with small phases, a kernel oscillates a few times only."""
    length, nu = 16_384, 0.00005
    figure, axes = plt.subplots(
        2, 3, figsize=(10, 4.5), sharey=True, layout="constrained"
    )
    oscillations = []
    phases = ((2 * np.pi, "2π"), (np.pi / 50, "π/50"))
    for row, (max_phase, name) in zip(axes, phases, strict=True):
        radius = float(np.exp(-nu))
        layer = keras_lru.LRU(
            *(3, 3, radius, radius, max_phase),
            normalize=False,
            feedthrough="none",
            return_sequences=True,
            seed=seed,
        )
        layer.build((None, None, 1))
        # Each output is the real part of a state, and each state gets the impulse.
        cell = layer.cell
        for weight in (cell.B_re, cell.B_im, cell.C_re, cell.C_im):
            weight.assign(np.zeros(weight.shape))
        cell.B_re.assign(np.ones((1, 3)))
        cell.C_re.assign(np.eye(3))
        for index, axis in enumerate(row):
            plot_impulse_responses(layer, length, axis, indices=[index], linewidth=0.5)
            axis.set_title(f"θ ~ U[0, {name}], state {index + 1}")
        responses = np.stack([axis.lines[0].get_ydata() for axis in row], axis=1)

        nus, thetas = (
            np.exp(keras.ops.convert_to_numpy(weight).astype("float64"))
            for weight in cell.eigenvalue_weights
        )
        steps = np.arange(length)[:, None]
        error = np.abs(responses - np.exp(-nus * steps) * np.cos(thetas * steps)).max()
        check(error < 0.01, f"θ ~ U[0, {name}]: largest error {error:.1e} (limit 0.01)")
        oscillations.append((np.diff(np.sign(responses), axis=0) != 0).sum(axis=0) / 2)
        count = ", ".join(f"{value:.0f}" for value in oscillations[-1])
        left = np.exp(-nu * length)
        print(f"  {count} oscillations in {length} steps; {100 * left:.0f} % are left")
    many, few = np.mean(oscillations[0]), max(oscillations[1])
    # θ ≤ π/50 turns at most once in 100 steps.
    check(
        few <= length / 100 + 1 < many,
        f"at most {few:.0f} oscillations with small phases, {many:.0f} on average with "
        f"others (limit {length / 100 + 1:.0f})",
    )
    return figure


def convolution_data(seed):
    """32 inputs of 100 steps, and their convolution with a decaying wave."""
    k = np.arange(100)
    a, c = np.random.default_rng(seed).uniform(size=(2, 32, 1))
    inputs = np.sin(0.05 * a * k) * np.cos(0.05 * c * k) ** 2
    kernel = 0.1 * np.exp(-0.015 * k) * np.cos(0.04 * k) ** 2
    targets = np.stack([np.convolve(x, kernel)[:100] for x in inputs])
    return inputs[..., None].astype("float32"), targets[..., None].astype("float32")


def convolution_model(recurrence, seed):
    if recurrence == "tanh":
        layers = [
            keras.layers.SimpleRNN(
                100,
                kernel_initializer=keras.initializers.GlorotNormal(seed),
                recurrent_initializer=keras.initializers.GlorotNormal(seed + 1),
                return_sequences=True,
            ),
            keras.layers.Dense(
                1, kernel_initializer=keras.initializers.GlorotNormal(seed + 2)
            ),
        ]
    else:
        # The kernel to be learned decays slowly, and oscillates slowly.
        ring = {"LRU, disc": (0.0, 1.0), "LRU, slow ring": (0.9, 0.99, np.pi / 10)}
        layers = [
            keras_lru.LRU(1, 100, *ring[recurrence], return_sequences=True, seed=seed)
        ]
    return keras.Sequential([keras.Input((100, 1)), *layers])


def figure_7(seed):
    """Appendix: on a linear task the nonlinearity is what slows training down."""
    inputs, targets = convolution_data(seed)
    steps, steps_per_epoch = 500, 20
    # One batch, all the data: an epoch is many steps.
    inputs, targets = (np.tile(x, (steps_per_epoch, 1, 1)) for x in (inputs, targets))
    rates = (0.001, 0.003, 0.01, 0.03)
    figure, axes = plt.subplots(
        1, len(rates), figsize=(12, 3.2), sharey=True, layout="constrained"
    )
    for axis, rate in zip(axes, rates, strict=True):
        best = {}
        for recurrence in ("LRU, disc", "LRU, slow ring", "tanh"):
            model = convolution_model(recurrence, seed)
            model.compile(keras.optimizers.Adam(rate), "mse")
            losses = model.fit(
                inputs,
                targets,
                batch_size=32,
                epochs=steps // steps_per_epoch,
                shuffle=False,
                verbose=0,
            ).history["loss"]
            best[recurrence] = min(losses)
            at = steps_per_epoch * np.arange(1, len(losses) + 1)
            axis.semilogy(at, losses, label=recurrence)
        axis.set(title=f"learning rate {rate}", xlabel="step", ylim=(1e-5, 1))
        numbers = ", ".join(f"{name}: {loss:.1e}" for name, loss in best.items())
        ratio = best["tanh"] / best["LRU, slow ring"]
        check(
            ratio > 1,
            f"rate {rate}: best losses {numbers}; of the slow ring {ratio:.0f} times "
            "below tanh (limit 1)",
        )
    axes[0].set_ylabel("mean squared error")
    axes[0].legend(fontsize="small")
    return figure


def follow_eigenvalues(history):
    """A callback that keeps the eigenvalues before each step."""

    class FollowEigenvalues(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            history.append(self.model.layers[-1].eigenvalues)

    return FollowEigenvalues()


def learn_power(parameterization, start, target, rate, steps):
    """Adam on |λ^100 − target|², for many λ at once. Returns λ, `(steps, states)`."""
    layer = keras_lru.LRU(
        *(1, len(start)),
        parameterization=parameterization,
        normalize=False,
        feedthrough="none",
        return_state=True,
    )
    # λ^100 is what is left of an impulse after 100 steps.
    inputs = keras.Input((101, 1))
    model = keras.Model(inputs, layer(inputs)[1:])
    cell = layer.cell
    cell.B_re.assign(np.ones((1, len(start))))
    cell.B_im.assign(np.zeros((1, len(start))))
    for weight in (cell.B_re, cell.B_im, cell.C_re, cell.C_im):
        weight.trainable = False
    parts = {
        "exp": (-np.log(np.abs(start)), np.angle(start)),
        "real_imag": (start.real, start.imag),
    }
    for weight, values in zip(
        cell.eigenvalue_weights, parts[parameterization], strict=True
    ):
        weight.assign(values)
    # Adam moves each weight by itself: the states don't see each other.
    model.compile(keras.optimizers.Adam(rate, epsilon=1e-12), ["mse", "mse"])
    impulse = np.zeros((steps, 101, 1), "float32")
    impulse[:, 0] = 1
    targets = [
        np.tile(part.astype("float32"), (steps, 1))
        for part in (target.real, target.imag)
    ]
    history = []
    model.fit(
        impulse,
        targets,
        batch_size=1,
        shuffle=False,
        verbose=0,
        callbacks=[follow_eigenvalues(history)],
    )
    return np.array(history)


def figure_8(seed):
    """Section 3.3: in polar form, a step changes the modulus or the phase alone."""
    count, steps, rate, radius = 512, 600, 0.003, 0.99
    rng = np.random.default_rng(seed)
    phases = np.pi / 2 * np.arange(5) / 4
    # Each start and its mirror image.
    modulus = np.tile(np.sqrt(rng.uniform(0.9**2, radius**2, count // 2)), 2)
    offset = rng.uniform(0, 0.3, count // 2)
    offset = np.concatenate([offset, -offset])
    # The same starts, turned, for each planted phase.
    start = (modulus * np.exp(1j * (phases[:, None] + offset))).ravel()
    planted = np.repeat(radius * np.exp(1j * phases), count)

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    slow = {}
    for name, label in (("real_imag", "real + imaginary"), ("exp", "exponential")):
        eigenvalues = learn_power(name, start, planted**100, rate, steps)
        eigenvalues = eigenvalues.reshape(steps, len(phases), count).astype(complex)
        target = (planted**100).reshape(len(phases), count)
        losses = np.abs(eigenvalues**100 - target) ** 2 / radius**200
        worst = np.quantile(losses, 0.9, axis=2)
        axes[0].semilogy(worst[:, 2], label=label)
        reached = losses < 1e-4
        first = np.where(reached.any(axis=0), reached.argmax(axis=0), steps)
        slow[name] = np.quantile(first, 0.9, axis=1)
        medians = ", ".join(f"{value:.0f}" for value in np.median(first, axis=1))
        print(f"  {label}: the median start takes {medians} steps")
        axes[1].plot(phases / np.pi, slow[name], "o-", label=label)
    axes[0].set(
        title="planted phase π/4", xlabel="step", ylabel="loss, 90th percentile"
    )
    axes[1].set(
        title="steps to a loss of 1e-4, 90th percentile", xlabel="planted phase / π"
    )
    axes[1].set_ylim(0, None)
    axes[1].legend()
    ratios = slow["real_imag"] / slow["exp"]
    for phase, cartesian, polar in zip(
        phases, slow["real_imag"], slow["exp"], strict=True
    ):
        print(f"  phase {phase / np.pi:.3f} π: {cartesian:.0f} steps, and {polar:.0f}")
    spread = np.ptp(slow["exp"]) / slow["exp"].mean()
    check(
        spread < 0.1,
        f"exponential: the phase changes {100 * spread:.0f} % (limit 10 %)",
    )
    between = min(ratios[1], ratios[3])
    check(
        ratios[2] > between > 1,
        f"real + imaginary: {ratios[2]:.1f} times as many steps at π/4, "
        f"{between:.1f} at π/8 or 3π/8 (limit: more than that, and 1)",
    )
    return figure


def white_noise_layer(ring, normalize, seed):
    return keras_lru.LRU(
        *(1, 500, *ring),
        normalize=normalize,
        feedthrough="none",
        return_state=True,
        seed=seed,
    )


def white_noise_model(normalize):
    """1000 steps of noise, from one state to the next; its weights are to be set."""
    noise, *state = (keras.Input(shape) for shape in ((1000, 64), (500,), (500,)))
    layer = white_noise_layer((0.0, 1.0), normalize, seed=0)
    return keras.Model([noise, *state], layer(noise, initial_state=state)[1:])


def white_noise_gain(model, layer, seed):
    """Mean of ‖x_∞‖² over E‖Bu‖² in one run: one draw of the weights."""
    layer.build((None, None, 64))
    model.set_weights(layer.get_weights())
    rng = np.random.default_rng(seed)
    state, norms = [np.zeros((4, 500), "float32")] * 2, []
    # 10 000 steps in pieces, and the state after each from step 4000 on.
    for piece in range(10):
        noise = rng.normal(size=(4, 1000, 64)).astype("float32")
        state = model.predict_on_batch([noise, *state])
        if piece >= 3:
            norms.append(sum((part**2).sum(axis=-1) for part in state))
    B = (layer.cell.B_re, layer.cell.B_im)
    driven = sum((keras.ops.convert_to_numpy(part) ** 2).sum() for part in B)
    return np.mean(norms) / driven


def figure_9(seed):
    """Proposition 3: what the ring does to the norm of the state, and what γ undoes."""
    rings = ((0.0, 0.9), (0.5, 0.9), (0.9, 0.99), (0.99, 0.999))
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    places = np.arange(len(rings))
    for normalize, name, marker in (
        (False, "not normalized", "o"),
        (True, "normalized", "s"),
    ):
        expected, measured = [], []
        model = white_noise_model(normalize)
        for place, ring in enumerate(rings):
            r_min, r_max = ring
            gains = [
                white_noise_gain(model, white_noise_layer(ring, normalize, draw), draw)
                for draw in range(seed, seed + 100, 10)
            ]
            mean = np.mean(gains)
            measured.append(mean)
            formula = np.log((1 - r_min**2) / (1 - r_max**2)) / (r_max**2 - r_min**2)
            expected.append(1.0 if normalize else formula)
            axis.plot([place] * len(gains), gains, ".", color="0.7")
            error = mean / expected[-1] - 1
            check(
                abs(error) < 0.05,
                f"ring [{r_min}, {r_max}], {name}: gain "
                f"{mean:.3f}, should be {expected[-1]:.3f}: {100 * error:+.1f} % "
                "(limit 5 %)",
            )
        axis.plot(places, measured, marker, label=f"{name}, measured")
        axis.plot(places, expected, "_", markersize=30, label=f"{name}, expected")
    axis.set_yscale("log")
    axis.set_xticks(places, [f"[{r_min}, {r_max}]" for r_min, r_max in rings])
    axis.set(xlabel="ring", ylabel="E‖x_∞‖² / E‖Bu‖²")
    axis.legend()
    return figure


def main(args):
    start = time.perf_counter()
    args.output_dir.mkdir(parents=True, exist_ok=True)
    draw = {
        "2": figure_2,
        "3": figure_3,
        "4": figure_4,
        "7": figure_7,
        "8": figure_8,
        "9": figure_9,
    }
    for number in FIGURES if "all" in args.figures else args.figures:
        begin = time.perf_counter()
        print(f"Figure {number}", flush=True)
        path = args.output_dir / f"figure-{number}.png"
        draw[number](args.seed).savefig(path, dpi=60)
        print(f"  {path}, {time.perf_counter() - begin:.0f} s", flush=True)
    print(f"Time: {time.perf_counter() - start:.0f} s on {args.backend}")


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    print(f"Backend: {args.backend}", flush=True)

    import matplotlib
    import numpy as np

    import keras_lru
    from keras_lru.visualization import plot_eigenvalues, plot_impulse_responses

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    main(args)
