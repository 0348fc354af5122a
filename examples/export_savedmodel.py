"""Train a forecaster, export it for streams, and stream from it with TensorFlow alone.

    python examples/export_savedmodel.py           # on the backend that Keras chooses
    python examples/export_savedmodel.py --backend jax

The series is made here: two waves whose periods drift, and noise. A model of two
residual LRU blocks learns to predict its next value. Then the folder that
`keras_lru.export.export_saved_model` wrote is loaded by a second process, which has
TensorFlow and neither Keras nor JAX nor keras_lru: it takes the test series whole
(`serve`), step by step (`step`) and in pieces (`chunk`), and all three must agree with
the trained model. About half a minute on two CPU cores.

Afterwards, feed the model by hand, one number a line:

    seq 0 0.1 20 | awk '{print sin($1)}' > waves.txt
    python examples/stream.py runs/export_savedmodel/saved_model < waves.txt
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

# What somebody runs who has the folder and TensorFlow.
SERVE = """
import sys
for absent in ("keras", "keras_lru", "jax"):
    sys.modules[absent] = None
import numpy as np
import tensorflow as tf

model = tf.saved_model.load(sys.argv[1])
series = tf.constant(np.load(sys.argv[2]))

whole = model.serve(series)

states = model.initial_state(len(series))
steps = []
for x in tf.unstack(series, axis=1):
    states = model.step(x, states)
    steps.append(states.pop("outputs"))

states = model.initial_state(len(series))
chunks = []
for piece in (series[:, :100], series[:, 100:101], series[:, 101:]):
    states = model.chunk(piece, states)
    chunks.append(states.pop("outputs"))

steps, chunks = tf.stack(steps, 1), tf.concat(chunks, 1)
np.savez(sys.argv[3], whole=whole, steps=steps, chunks=chunks)
"""


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument(
        "--output-dir", type=Path, default=Path("runs/export_savedmodel")
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1. Received: {args.epochs}")
    return args


def make_series(count, steps, seed):
    """Series `(count, steps, 1)`: two waves of drifting period, and noise."""
    rng = np.random.default_rng(seed)
    time = np.arange(steps)
    series = 0.05 * rng.normal(size=(count, steps))
    for period, amplitude in ((40, 1.0), (11, 0.4)):
        drift = np.cumsum(0.01 * rng.normal(size=(count, steps)), axis=1)
        phase = rng.uniform(0, 2 * np.pi, size=(count, 1))
        series += amplitude * np.sin(2 * np.pi * time / period + phase + drift)
    return series[..., None].astype("float32")


def build_model(total_steps):
    model = keras_lru.SequenceRegressor(
        1, depth=2, units=32, state_size=32, r_min=0.5, r_max=0.99, norm_momentum=0.9
    )
    model.compile(
        keras_lru.training.AdamW(
            keras_lru.training.warmup_cosine(0.01, total_steps), recurrent_lr_factor=0.5
        ),
        "mse",
    )
    return model


def serve_elsewhere(saved_model, series, output_dir):
    """Predictions of the exported model, by a process with TensorFlow only."""
    inputs, outputs = output_dir / "series.npy", output_dir / "outputs.npz"
    np.save(inputs, series)
    command = [sys.executable, "-c", SERVE, saved_model, inputs, outputs]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        sys.exit(f"The exported model could not be served:\n{process.stderr}")
    with np.load(outputs) as file:
        served = dict(file)
    inputs.unlink()
    outputs.unlink()
    return served


def main(args):
    start = time.perf_counter()
    keras.utils.set_random_seed(args.seed)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    train, test = make_series(256, 301, seed=1), make_series(4, 301, seed=2)

    model = build_model(total_steps=args.epochs * len(train) // 16)
    model.fit(train[:, :-1], train[:, 1:], batch_size=16, epochs=args.epochs)
    error = model.evaluate(test[:, :-1], test[:, 1:], verbose=0)
    unchanged = float(np.mean((test[:, 1:] - test[:, :-1]) ** 2))
    print(f"\nTest error:    {error:.4f} (of the last value repeated: {unchanged:.4f})")

    saved_model = args.output_dir / "saved_model"
    export_saved_model(model, saved_model, overwrite=True)
    expected = model.predict(test[:, :-1], verbose=0)
    for name, outputs in serve_elsewhere(
        saved_model, test[:, :-1], args.output_dir
    ).items():
        difference = np.abs(outputs - expected).max()
        print(f"By {name + ':':11s} largest difference {difference:.1e}")
        if difference > 1e-3:
            sys.exit("The exported model does not agree with the trained one.")
    print(f"Time:          {time.perf_counter() - start:.0f} s on {args.backend}")


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
