"""Train recurrences on real and made series at one budget, and print a table.

    python -m benchmarks.accuracy                       # all that has no result yet
    python -m benchmarks.accuracy --tasks CO2 digits --candidates model LSTM --seeds 1
    python -m benchmarks.accuracy --settings --tasks CO2 digits
    python -m benchmarks.accuracy --lengths --candidates LSTM GRU LRUBlock --seeds 1

Each result is appended to a file as soon as it is there: stopped or killed, the same
command goes on. Needs the extras `benchmarks`, `lra` and `series`.
"""

import argparse
import concurrent.futures
import json
import multiprocessing
import os
from pathlib import Path

OURS = ("LRUBlock", "model")
THEIRS = ("LSTM", "GRU", "LSTM, recommended training")


def parse_args():
    """Command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tasks", nargs="+", help="default: all")
    parser.add_argument("--candidates", nargs="+", help="default: all")
    parser.add_argument(
        "--settings",
        action="store_true",
        help="in place of the candidates the model class, a setting changed at a time",
    )
    parser.add_argument(
        "--lengths",
        action="store_true",
        help="in place of the tasks one task at several lengths, and the time of a "
        "training step, drawn beside --output",
    )
    parser.add_argument("--seeds", type=int, default=3, help="how many, from 0")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    parser.add_argument(
        "--output", type=Path, default=Path("benchmarks/results/accuracy.jsonl")
    )
    parser.add_argument(
        "--table", action="store_true", help="print what is there, train nothing"
    )
    args = parser.parse_args()
    for name in ("seeds", "jobs"):
        if getattr(args, name) < 1:
            parser.error(
                f"--{name} must be at least 1. Received: {getattr(args, name)}"
            )
    return args


def read(path):
    """The results of a file, each whole line of it."""
    if not path.exists():
        return []
    results = []
    for line in path.read_text().splitlines():
        try:
            results.append(json.loads(line))
        except json.JSONDecodeError:
            # Cut off when the process was killed.
            continue
    return results


def append(path, result):
    """Adds a result to a file, on a line of its own."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as file:
        file.seek(0)
        text = file.read()
        start = "\n" if text and not text.endswith("\n") else ""
        file.write(f"{start}{json.dumps(result)}\n")


def chosen(parser_name, names, known):
    """The names that were asked for, all by default."""
    unknown = sorted(set(names or ()) - set(known))
    if unknown:
        raise SystemExit(
            f"--{parser_name} must be among {list(known)}. Received: {unknown}"
        )
    return [name for name in known if not names or name in names]


def _sentence(result):
    return (
        f"{result['task']}, {result['candidate']}, seed {result['seed']}: "
        f"{result['score']:.4g} {result['measure']} in {result['seconds']:.0f} s"
    )


def _train(run, missing, jobs, output):
    """Runs trials in processes, each result kept as soon as it is there."""
    # Not forked: backends have threads.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(jobs, context) as pool:
        trials = [pool.submit(run, *trial) for trial in missing]
        try:
            finished = concurrent.futures.as_completed(trials)
            for count, trial in enumerate(finished, start=1):
                result = trial.result()
                append(output, result)
                print(f"[{count}/{len(missing)}] {_sentence(result)}", flush=True)
        finally:
            # What has not begun would be waited for, by Ctrl-C too.
            pool.shutdown(wait=False, cancel_futures=True)


def main(args):
    """Trains what has no result, then prints the table."""
    from benchmarks.accuracy.by_length import draw, time_steps
    from benchmarks.accuracy.candidates import CANDIDATES, SETTINGS
    from benchmarks.accuracy.table import losses, markdown
    from benchmarks.accuracy.tasks import LENGTHS, TASKS
    from benchmarks.accuracy.trial import run

    tasks = chosen("tasks", args.tasks, LENGTHS if args.lengths else TASKS)
    known = SETTINGS if args.settings else CANDIDATES
    candidates = chosen("candidates", args.candidates, known)
    results = read(args.output)
    done = {(r["task"], r["candidate"], r["seed"]) for r in results}
    missing = [
        (task, candidate, seed)
        for seed in range(args.seeds)
        for task in tasks
        for candidate in candidates
        if (task, candidate, seed) not in done
    ]
    if missing and not args.table:
        _train(run, missing, args.jobs, args.output)
    results = [
        r
        for r in read(args.output)
        if r["task"] in tasks and r["candidate"] in candidates
    ]
    order = {name: i for i, name in enumerate([*tasks, *candidates])}
    results.sort(key=lambda r: (order[r["candidate"]], order[r["task"]], r["seed"]))
    print("\n" + markdown(results))
    if args.lengths:
        times = args.output.with_name(f"{args.output.stem}-ms.json")
        if not times.exists() and not args.table:
            times.write_text(json.dumps(time_steps(candidates), indent=1))
        measured = json.loads(times.read_text()) if times.exists() else []
        print(draw(results, measured, args.output.with_suffix(".png")))
    for name in OURS:
        for sentence in losses(results, name, THEIRS):
            print(sentence)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main(parse_args())
