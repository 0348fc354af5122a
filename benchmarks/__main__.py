"""Measure a suite: `python -m benchmarks --suite cpu`."""

import argparse
import json
import os
import platform
from pathlib import Path

SUITES = ("cpu", "gpu", "input", "serving", "tpu-aot")


def parse_args():
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", choices=SUITES, default="cpu")
    parser.add_argument(
        "--backend",
        choices=["jax", "tensorflow", "torch"],
        help="default: Keras's own choice, KERAS_BACKEND or ~/.keras/keras.json",
    )
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--only", default="", help="cases whose name contains this")
    parser.add_argument("--output-dir", type=Path, default=Path("runs/benchmarks"))
    args = parser.parse_args()
    if args.suite == "tpu-aot":
        # Keras writes keras.json unasked: only these two are somebody's choice.
        variable = os.environ.get("KERAS_BACKEND")
        chosen = args.backend or variable or "jax"
        if chosen != "jax":
            source = "--backend " if args.backend else "KERAS_BACKEND="
            parser.error(
                "--suite tpu-aot compiles with JAX: choose it with --backend jax. "
                f"Received: {source}{chosen}"
            )
        args.backend = "jax"
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {args.rounds}")
    return args


def machine():
    """What the figures came from."""
    import keras

    from keras_lru import backend

    cpuinfo = Path("/proc/cpuinfo")
    models = [
        line.split(":")[1].strip()
        for line in (cpuinfo.read_text() if cpuinfo.exists() else "").splitlines()
        if line.startswith("model name")
    ]
    name = keras.backend.backend()
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "accelerator": backend.has_accelerator(),
        "python": platform.python_version(),
        "keras": keras.__version__,
        name: __import__(name).__version__,
    }


def main(args):
    """Run the suite."""
    report = {"suite": args.suite, "backend": args.backend, "rounds": args.rounds}
    if args.suite == "tpu-aot":
        from benchmarks import tpu

        report["results"] = tpu.run(args.only)
    else:
        report["machine"] = machine()
        print(report["machine"])
        if args.suite == "serving":
            from benchmarks import serving

            report["results"] = serving.run(args.only, args.rounds)
        else:
            from benchmarks import runner
            from benchmarks.suites import cases

            report["results"] = [
                runner.run_case(case, args.rounds)
                for case in cases(args.suite)
                if args.only in case.name
            ]
    args.output_dir.mkdir(parents=True, exist_ok=True)
    path = args.output_dir / f"{args.suite}-{args.backend}.json"
    path.write_text(json.dumps(report, indent=2))
    print(f"\n{path}")
    if args.suite in ("cpu", "gpu"):
        from benchmarks import chart

        print(chart.draw(report, path.with_suffix(".png")) or "No lengths to draw.")


if __name__ == "__main__":
    args = parse_args()
    if args.suite == "tpu-aot":
        from benchmarks.tpu import ENVIRONMENT

        os.environ.update(ENVIRONMENT)
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    reason = ", as tpu-aot compiles with JAX" if args.suite == "tpu-aot" else ""
    print(f"Backend: {args.backend}{reason}", flush=True)

    main(args)
