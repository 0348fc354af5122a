"""Measure a suite: `python -m benchmarks --suite cpu`."""

import argparse
import json
import os
import platform
import sys
import threading
import time
from pathlib import Path

_START = time.monotonic()
SUITES = (
    "cpu",
    "gpu",
    "time",
    "input",
    "serving",
    "online",
    "distributed",
    "tpu-aot",
    "gpu-aot",
)


def _compiles_alone(suite):
    """Whether a suite runs nothing, and compiles with JAX."""
    return suite == "distributed" or suite.endswith("-aot")


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
    parser.add_argument(
        "--budget",
        type=float,
        metavar="SECONDS",
        help="end after this time; what was measured until then is in the JSON file",
    )
    parser.add_argument(
        "--smoke", action="store_true", help="small sizes, one round: a rehearsal"
    )
    parser.add_argument("--output-dir", type=Path, default=Path("runs/benchmarks"))
    args = parser.parse_args()
    if _compiles_alone(args.suite):
        # Keras writes keras.json unasked: only these two are somebody's choice.
        variable = os.environ.get("KERAS_BACKEND")
        chosen = args.backend or variable or "jax"
        if chosen != "jax":
            source = "--backend " if args.backend else "KERAS_BACKEND="
            parser.error(
                f"--suite {args.suite} compiles with JAX: choose it with --backend "
                f"jax. Received: {source}{chosen}"
            )
        args.backend = "jax"
    if args.rounds < 1:
        parser.error(f"--rounds must be at least 1. Received: {args.rounds}")
    if args.budget is not None and not args.budget > 0:
        parser.error(f"--budget must be above 0. Received: {args.budget}")
    if (args.smoke or args.budget) and args.suite not in ("cpu", "gpu", "time"):
        parser.error(
            "--smoke and --budget are for cpu, gpu and time. "
            f"Received: --suite {args.suite}"
        )
    return args


def machine():
    """What the figures came from."""
    import keras

    from benchmarks import device
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
        "accelerator": device.kind() if backend.has_accelerator() else None,
        "python": platform.python_version(),
        "keras": keras.__version__,
        name: __import__(name).__version__,
    }


def _write(report, path):
    """Write the report in one go: nobody finds half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".tmp")
    draft.write_text(json.dumps(report, indent=2))
    draft.replace(path)


def _run_cases(args, report, path):
    """Run all cases, and write the report after each of them."""
    from benchmarks import runner, shapes
    from benchmarks.suites import cases

    if args.smoke:
        shapes.rehearse()
    report["results"], report["failed"] = [], []
    _write(report, path)
    longest = None
    if args.budget is not None:
        longest = args.budget / 16
        left = args.budget - (time.monotonic() - _START)
        # A compiler listens to nobody.
        ending = threading.Timer(left, _end, [report, path])
        ending.daemon = True
        ending.start()
    rounds = 1 if args.smoke else args.rounds
    for case in cases(args.suite):
        if args.only not in case.name:
            continue
        if args.smoke:
            # Of the sizes that the targets are of, nothing is known.
            case.targets = []
        try:
            report["results"].append(runner.run_case(case, rounds, longest))
        except Exception as error:
            # What is left is worth more than this case.
            print(f"\n{case.name}: FAILED, {error!r:.500}", flush=True)
            report["failed"].append({"case": case.name, "error": repr(error)})
        _write(report, path)


def _end(report, path):
    print(f"\nThe time is over: {path}", flush=True)
    os._exit(1 if report["failed"] else 0)


def main(args):
    """Run the suite; the exit status."""
    report = {"suite": args.suite, "backend": args.backend, "rounds": args.rounds}
    name = f"{args.suite}-{args.backend}{'-smoke' if args.smoke else ''}.json"
    path = args.output_dir / name
    if args.suite.endswith("-aot"):
        from benchmarks import ahead_of_time

        report["results"] = ahead_of_time.run(args.suite, args.only)
    elif args.suite == "distributed":
        from benchmarks import distributed

        report["results"] = distributed.run(args.only)
    else:
        report["machine"] = machine()
        print(report["machine"])
        if args.suite == "serving":
            from benchmarks import serving

            report["results"] = serving.run(args.only, args.rounds)
        elif args.suite == "online":
            from benchmarks import online

            report["results"] = online.run(args.only, args.rounds)
        else:
            _run_cases(args, report, path)
    _write(report, path)
    print(f"\n{path}")
    if args.suite in ("cpu", "gpu"):
        from benchmarks import chart

        print(chart.draw(report, path.with_suffix(".png")) or "No lengths to draw.")
    return 1 if report.get("failed") else 0


if __name__ == "__main__":
    args = parse_args()
    if args.suite.endswith("-aot"):
        from benchmarks import ahead_of_time

        ahead_of_time.set_environment(args.suite)
    elif args.suite == "distributed":
        from benchmarks import distributed

        distributed.set_environment()
    # Keras chooses its backend when it is imported.
    if args.backend is not None:
        os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import keras

    args.backend = keras.backend.backend()
    is_given = _compiles_alone(args.suite)
    reason = f", as {args.suite} compiles with JAX" if is_given else ""
    print(f"Backend: {args.backend}{reason}", flush=True)

    sys.exit(main(args))
