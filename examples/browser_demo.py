"""A forecast drawn live in a browser: a step of a model, run by onnxruntime-web.

    pip install -e ".[formats]"
    python examples/browser_demo.py
    python -m http.server --directory runs/browser_demo

A model learns what comes next in waves of many periods, each of one or two sines with
noise: at each step the next 60 values. Its step, with the states as inputs and outputs,
goes into a file of some hundred kilobytes, `step.onnx`. The page (`docs/demo/`) reads
what the mouse draws, a step at a time, and shows where the model believes that it goes.
`step.json` says how the states begin, and has a wave with the model's own predictions,
by which the page checks itself.
"""

import argparse
import json
import os
import shutil
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "demo"
LENGTH = 256
AHEAD = 60


def parse_args():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--waves", type=int, default=3_200, help="to learn from")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/browser_demo"))
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for name in ("epochs", "waves"):
        if getattr(args, name) < 1:
            parser.error(
                f"--{name} must be at least 1. Received: {getattr(args, name)}"
            )
    return args


def draw_waves(count, rng):
    """Waves `(count, LENGTH + AHEAD)`, of 12 to 120 steps a period, without noise."""
    t = np.arange(LENGTH + AHEAD)
    waves = 0.0
    for share in (1.0, rng.random((count, 1)) < 0.5):
        period = np.exp(rng.uniform(np.log(12), np.log(120), (count, 1)))
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        height = rng.uniform(0.2, 0.5, (count, 1))
        waves = waves + share * height * np.sin(2 * np.pi * t / period + phase)
    return waves.astype("float32")


def train(args):
    """A model of the next values, at each step."""
    rng = np.random.default_rng(args.seed)
    waves = draw_waves(args.waves, rng)
    noise = rng.uniform(0, 0.03, (len(waves), 1)) * rng.normal(size=waves.shape)
    x = (waves + noise)[:, :LENGTH, None].astype("float32")
    y = np.lib.stride_tricks.sliding_window_view(waves[:, 1:], AHEAD, axis=1)
    model = keras_lru.SequenceRegressor(
        AHEAD, depth=2, units=32, state_size=32, seed=args.seed
    )
    steps = args.epochs * -(-len(x) // 32)
    keras_lru.training.compile_recommended(model, steps)
    model.fit(x, y, batch_size=32, epochs=args.epochs, verbose=2)
    return model


def run(step, wave):
    """The model's predictions along one wave, a step at a time."""
    states, predictions = [*step.initial_states], []
    for value in wave:
        inputs = [np.full((1, 1), value, "float32"), *states]
        outputs, *states = (ops.convert_to_numpy(x) for x in step(inputs))
        predictions.append(outputs[0].tolist())
    return predictions


def main(args):
    args.output_dir.mkdir(parents=True, exist_ok=True)
    model = train(args)
    step = step_model(model)
    path = args.output_dir / "step.onnx"
    step.export(path, format="onnx", verbose=False)
    (wave,) = draw_waves(1, np.random.default_rng(args.seed + 1)).tolist()
    about = {
        "states": [
            {"shape": list(x.shape), "values": x.ravel().tolist()}
            for x in step.initial_states
        ],
        "check": {"inputs": wave, "outputs": run(step, wave)[-AHEAD:]},
    }
    (args.output_dir / "step.json").write_text(json.dumps(about))
    for name in ("index.html", "demo.js"):
        if args.output_dir.resolve() != PAGE.resolve():
            shutil.copy(PAGE / name, args.output_dir)
    print(f"{path}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    args = parse_args()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras
    import numpy as np
    from keras import ops

    import keras_lru
    from keras_lru.export import step_model

    print(f"Backend: {keras.backend.backend()}", flush=True)
    main(args)
