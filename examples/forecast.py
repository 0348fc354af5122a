"""Forecast half a year of the CO2 in the air from two years of weekly measurements.

    python examples/forecast.py                      # on the backend that Keras chooses
    python examples/forecast.py --beside lstm gru    # these too, at the same budget

The series, Mauna Loa from 1958 to 2001, comes with statsmodels: no network. It has a
season and a trend, so the last fifth, which is tested, lies higher than all that was
trained on. Beside the models stands what costs nothing: the last year again, and the
last year again with its rise. Into `--output-dir` go `forecast.png`, `model.keras` and
`saved_model/`, which forecasts in a stream, after each new measurement.
"""

import argparse
import os
import time
from pathlib import Path

WINDOW, HORIZON, YEAR = 104, 26, 52


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument(
        "--beside",
        nargs="*",
        default=[],
        choices=["lstm", "gru", "lstm-forecaster"],
        help="train these too, at the same budget; the last is the same forecaster "
        "with LSTMs in its blocks",
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/forecast"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1. Received: {args.epochs}")
    return args


def load_series():
    """Weekly CO2 in parts per million, gaps filled, `(weeks, 1)`."""
    from statsmodels.datasets import co2

    series = co2.load_pandas().data["co2"].interpolate()
    return series.to_numpy()[:, None]


def cut(series):
    """Windows of a series and what follows them."""
    windows = np.lib.stride_tricks.sliding_window_view(series[:, 0], WINDOW + HORIZON)
    return windows[:, :WINDOW, None], windows[:, WINDOW:, None]


def build(kind, series, total_steps, seed):
    """The forecaster, or two layers that read values in standard deviations."""
    if kind in ("lru", "lstm-forecaster"):
        recurrence = None
        if kind != "lru":
            recurrence = keras.layers.LSTM(64, return_sequences=True)
        model = keras_lru.SequenceForecaster(
            HORIZON,
            depth=2,
            units=64,
            state_size=64,
            recurrence=recurrence,
            seed=seed,
        )
        model.adapt(series)
        return keras_lru.training.compile_recommended(model, total_steps)
    layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind]
    scale = keras.layers.Normalization()
    scale.adapt(series)
    back = keras.layers.Normalization(invert=True)
    back.adapt(series)
    model = keras.Sequential(
        [
            keras.Input((WINDOW, 1)),
            scale,
            layer(64, return_sequences=True),
            layer(64),
            keras.layers.Dense(HORIZON),
            keras.layers.Reshape((HORIZON, 1)),
            back,
        ]
    )
    return keras_lru.training.compile_recommended(
        model, total_steps, "mean_absolute_error", ["mean_absolute_error"]
    )


def naive_forecasts(inputs):
    last_year = keras_lru.models.seasonal_naive(inputs, HORIZON, YEAR)
    rise = inputs[:, -1:] - inputs[:, -1 - YEAR : -YEAR]
    return {"last year": last_year, "last year and its rise": last_year + rise}


def draw(series, split, forecasts, path):
    """The end of the series, and the last forecast of each kind."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(9, 4), layout="constrained")
    weeks = np.arange(len(series))
    shown = slice(len(series) - WINDOW - HORIZON, None)
    ax.plot(weeks[shown], series[shown, 0], color="0.6", label="measured")
    for name, values in forecasts.items():
        ax.plot(weeks[-HORIZON:], values[-1, :, 0], label=name)
    ax.set(
        xlabel="weeks since March 1958",
        ylabel="CO2, parts per million",
        title=f"Half a year ahead; trained on weeks before {split}",
    )
    ax.legend()
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    series = load_series()
    split = int(0.8 * len(series))
    train, test = series[:split], series[split - WINDOW :]
    (x, y), (test_x, test_y) = cut(train), cut(test)
    forecasts, lines = {}, []

    def compare(name, values, note=""):
        error = np.abs(values - test_y).mean()
        forecasts[name] = values
        lines.append(f"{name:24} mean absolute error {error:.3f} ppm{note}")

    for name, values in naive_forecasts(test_x).items():
        compare(name, values)
    for kind in ["lru", *args.beside]:
        keras.utils.set_random_seed(args.seed)
        model = build(kind, train, args.epochs * -(-len(x) // 32), args.seed)
        print(f"\n{kind.upper()}")
        start = time.perf_counter()
        model.fit(x, y, batch_size=32, epochs=args.epochs)
        seconds = time.perf_counter() - start
        compare(kind.upper(), model.predict(test_x, verbose=0), f", {seconds:.0f} s")
        if kind == "lru":
            model.save(args.output_dir / "model.keras")
            export_saved_model(
                model, args.output_dir / "saved_model", overwrite=True, verbose=False
            )
    del forecasts["last year"]
    draw(series, split, forecasts, args.output_dir / "forecast.png")
    print("\n" + "\n".join(lines))
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

    import numpy as np

    import keras_lru
    from keras_lru.export import export_saved_model

    main(args)
