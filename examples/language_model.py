"""Train a character model on Python's own standard library, and let it write.

    python examples/language_model.py                # on the backend that Keras chooses
    python examples/language_model.py --beside lstm  # an LSTM of the same width too

No network: the text is the source of the Python that runs this. The model reads 400
characters at a time and predicts the next at each; every 20th piece is kept apart.
Then it reads a prompt in parallel over time and writes on, a compiled step a character.
Into `--output-dir` go `language_model.png` (bits a character over time), `model.keras`
and `written.txt`.
"""

import argparse
import os
import sysconfig
import time
from pathlib import Path


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--pieces", type=int, default=4000, help="400 characters each")
    parser.add_argument("--depth", type=int, default=2)
    parser.add_argument("--units", type=int, default=128)
    parser.add_argument(
        "--beside",
        nargs="*",
        default=[],
        choices=["lstm", "gru"],
        help="train these too, at the same budget",
    )
    parser.add_argument("--prompt", default="def ")
    parser.add_argument("--characters", type=int, default=1000, help="to write")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--output-dir", type=Path, default=Path("runs/language_model"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in ("epochs", "depth", "units", "characters"):
        value = getattr(args, name)
        if value < 1:
            parser.error(f"--{name} must be at least 1. Received: {value}")
    if args.pieces < 40:
        parser.error(f"--pieces must be at least 40. Received: {args.pieces}")
    if not args.prompt or not args.prompt.isascii():
        parser.error(f"--prompt must be ASCII characters. Received: {args.prompt!r}")
    return args


def read_pieces(count):
    """Pieces of 401 characters of the standard library, `(pieces, 401)`."""
    folder = Path(sysconfig.get_paths()["stdlib"])
    text, paths = "", sorted(folder.glob("*.py"))
    while len(text) < 401 * count and paths:
        text += paths.pop(0).read_text("utf-8", "ignore")
    tokens = np.frombuffer(text.encode("ascii", "ignore"), np.uint8).astype("int32")
    pieces = tokens[: len(tokens) // 401 * 401].reshape(-1, 401)[:count]
    np.random.default_rng(0).shuffle(pieces)
    return pieces


def build(kind, args):
    """A language model of blocks around a recurrence; only that differs."""
    recurrence = None
    if kind != "lru":
        layer = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU}[kind]
        recurrence = layer(args.units, return_sequences=True)
    return keras_lru.LanguageModel(
        128,
        depth=args.depth,
        units=args.units,
        state_size=args.units,
        recurrence=recurrence,
        seed=args.seed,
    )


def train(model, pieces, epochs):
    """Trains, and returns seconds and validation bits a character after each epoch."""
    validation, training = pieces[::20], np.delete(pieces, np.s_[::20], axis=0)
    total_steps = epochs * -(-len(training) // 32)
    keras_lru.training.compile_recommended(model, total_steps)
    curve, start = [], time.perf_counter()

    def note(epoch, logs):
        curve.append((time.perf_counter() - start, logs["val_loss"] / np.log(2)))

    model.fit(
        training[:, :-1],
        training[:, 1:],
        batch_size=32,
        epochs=epochs,
        validation_data=(validation[:, :-1], validation[:, 1:]),
        callbacks=[keras.callbacks.LambdaCallback(on_epoch_end=note)],
    )
    return curve


def write(model, args):
    """Writes after the prompt, and returns the text and characters a second."""
    prompt = np.frombuffer(args.prompt.encode(), np.uint8).astype("int32")
    options = {"temperature": args.temperature, "seed": args.seed}
    model.generate(prompt, args.characters, **options)
    start = time.perf_counter()
    tokens = model.generate(prompt, args.characters, **options)
    rate = args.characters / (time.perf_counter() - start)
    return args.prompt + bytes(tokens.tolist()).decode(), rate


def draw(curves, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots(figsize=(6, 4), layout="constrained")
    for kind, curve in curves.items():
        ax.plot(*np.transpose(curve), marker="o", label=kind.upper())
    ax.set(
        xlabel="seconds of training",
        ylabel="bits a character",
        title="Unseen source of the standard library",
        xlim=(0, None),
    )
    ax.legend()
    ax.grid(alpha=0.3)
    figure.savefig(path, dpi=120)


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    pieces = read_pieces(args.pieces)
    curves, lines = {}, []
    for kind in ["lru", *args.beside]:
        keras.utils.set_random_seed(args.seed)
        model = build(kind, args)
        print(f"\n{kind.upper()}")
        curves[kind] = train(model, pieces, args.epochs)
        text, rate = write(model, args)
        seconds, bits = curves[kind][-1]
        lines.append(
            f"{kind.upper():5} {bits:.3f} bits a character after {seconds:.0f} s; "
            f"writes {rate:.0f} characters a second"
        )
        if kind == "lru":
            model.save(args.output_dir / "model.keras")
            (args.output_dir / "written.txt").write_text(text)
            print(f"\n{text}")
    draw(curves, args.output_dir / "language_model.png")
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

    main(args)
