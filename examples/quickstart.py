"""Train a deep LRU on real handwritten digits, draw it, export it and reload it.

The data are the 1 797 digits that come inside scikit-learn, so no network is needed.
Each 8 × 8 image is read as a sequence of 64 pixels, one number a step, row by row: the
model has to remember the first row when it sees the last.

    python examples/quickstart.py                  # on the backend that Keras chooses
    python examples/quickstart.py --backend jax

About a minute on two CPU cores; test accuracy above 98 %. Into `--output-dir` go
`quickstart.png` (the eigenvalues before and after training, and the accuracy curve),
`model.keras` and `saved_model/`, which a second process reloads with TensorFlow alone.
"""

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

# What somebody runs who has the folder, TensorFlow, and neither Keras nor keras_lru.
SERVE = """
import sys
import numpy as np
import tensorflow as tf
for blocked in ("keras", "keras_lru", "jax"):
    sys.modules[blocked] = None
model = tf.saved_model.load(sys.argv[1])
np.save(sys.argv[3], model.serve(np.load(sys.argv[2])).numpy())
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
    parser.add_argument("--epochs", type=int, default=18)
    parser.add_argument("--output-dir", type=Path, default=Path("runs/quickstart"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.epochs < 1:
        parser.error(f"--epochs must be at least 1. Received: {args.epochs}")
    return args


def load_digits():
    """Digits as `(images, 64, 1)` in [-1, 1], every fifth one kept for the test."""
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    pixels = (pixels[..., None] / 8.0 - 1.0).astype("float32")
    test = np.arange(len(labels)) % 5 == 0
    return (pixels[~test], labels[~test]), (pixels[test], labels[test])


def build_model(total_steps):
    model = keras_lru.SequenceClassifier(
        10,
        depth=4,
        units=48,
        state_size=48,
        r_min=0.5,
        r_max=0.99,
        dropout=0.1,
        norm_momentum=0.9,
    )
    model.compile(
        optimizer=keras_lru.training.AdamW(
            keras_lru.training.warmup_cosine(0.01, total_steps),
            weight_decay=0.05,
            recurrent_lr_factor=0.5,
        ),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def eigenvalues(model):
    return {
        f"block {index + 1}": values
        for index, values in enumerate(find_eigenvalues(model).values())
    }


def draw(before, after, history, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(13, 4.2), layout="constrained")
    plot_eigenvalues(before, axes[0])
    axes[0].set_title("Eigenvalues before training")
    plot_eigenvalues(after, axes[1])
    axes[1].set_title("Eigenvalues after training")
    epochs = np.arange(1, len(history["accuracy"]) + 1)
    axes[2].plot(epochs, 100 * np.array(history["accuracy"]), label="training")
    axes[2].plot(epochs, 100 * np.array(history["val_accuracy"]), label="test")
    axes[2].set(title="Accuracy", xlabel="epoch", ylabel="%", ylim=(None, 100.5))
    axes[2].legend(loc="lower right")
    axes[2].grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def serve_elsewhere(saved_model, inputs, output_dir):
    """Predictions of the exported model, computed by a process with TensorFlow only."""
    inputs_file, outputs_file = output_dir / "inputs.npy", output_dir / "outputs.npy"
    np.save(inputs_file, inputs)
    command = [sys.executable, "-c", SERVE, saved_model, inputs_file, outputs_file]
    process = subprocess.run(command, capture_output=True, text=True)
    if process.returncode:
        sys.exit(f"The exported model could not be served:\n{process.stderr}")
    outputs = np.load(outputs_file)
    inputs_file.unlink()
    outputs_file.unlink()
    return outputs


def main(args):
    start = time.perf_counter()
    keras.utils.set_random_seed(args.seed)
    args.output_dir.mkdir(parents=True, exist_ok=True)
    (train_x, train_y), (test_x, test_y) = load_digits()

    batch_size = 50
    model = build_model(total_steps=args.epochs * -(-len(train_x) // batch_size))
    model.build(train_x.shape)
    before = eigenvalues(model)
    history = model.fit(
        train_x,
        train_y,
        batch_size=batch_size,
        epochs=args.epochs,
        validation_data=(test_x, test_y),
    ).history
    _, accuracy = model.evaluate(test_x, test_y, verbose=0)
    print(f"\nTest accuracy: {100 * accuracy:.2f} %")

    picture = args.output_dir / "quickstart.png"
    draw(before, eigenvalues(model), history, picture)
    print(f"Picture:       {picture}")

    model.save(args.output_dir / "model.keras")
    saved_model = args.output_dir / "saved_model"
    model.export(saved_model, verbose=False)
    served = serve_elsewhere(saved_model, test_x, args.output_dir)
    difference = np.abs(served - model.predict(test_x, verbose=0)).max()
    agreement = np.mean(served.argmax(-1) == test_y)
    print(
        f"SavedModel:    {saved_model}, served by TensorFlow alone: "
        f"{100 * agreement:.2f} %, largest difference {difference:.1e}"
    )
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
    from keras_lru.visualization import find_eigenvalues, plot_eigenvalues

    main(args)
