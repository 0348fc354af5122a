"""Time one case, compare it with its targets, print it."""

import gc
import time

import keras
import numpy as np

from benchmarks import device
from benchmarks.timing import ratio, time_interleaved


def run_case(case, rounds, longest=None):
    """The figures of one case, printed on the way, as a dictionary for JSON.

    Args:
        case: A `Case`.
        rounds: Rounds in which all candidates are timed.
        longest: Seconds after which no further round begins. `None`: all rounds.
    """
    try:
        return _run_case(case, rounds, longest)
    finally:
        keras.utils.clear_session()
        gc.collect()


def _run_case(case, rounds, longest):
    candidates = case.build()
    until = None if longest is None else time.perf_counter() + longest
    seconds = time_interleaved(candidates, rounds, case.name, until)
    floor = None if case.work is None else device.least_seconds(*case.work)
    result = {
        "case": case.name,
        "tokens": case.tokens,
        "roofline_ms": None if floor is None else 1e3 * floor,
        "rows": [_row(name, candidates[name], seconds[name]) for name in candidates],
        "targets": [_judge(target, candidates, seconds) for target in case.targets],
    }
    _print(result)
    return result


def _row(name, candidate, seconds):
    temp = candidate.temp_bytes
    return {
        "candidate": name,
        "median_ms": 1e3 * float(np.median(seconds)),
        "first_call_s": candidate.first_call,
        "temp_mb": None if temp is None else temp / 1e6,
        "error": candidate.error,
    }


def _judge(target, candidates, seconds):
    if target.reference is None:
        value = candidates[target.candidate].first_call
        spread = [value, value]
    else:
        value, *spread = ratio(seconds, target.candidate, target.reference)
    return {
        "candidate": target.candidate,
        "reference": target.reference,
        "value": value,
        "quartiles": spread,
        "limit": target.limit,
        "met": value <= target.limit,
    }


def _print(result):
    print(f"\n{result['case']}")
    for row in result["rows"]:
        temp = "" if row["temp_mb"] is None else f"{row['temp_mb']:9.0f} MB"
        error = "" if row["error"] is None else f" error {row['error']:.0e}"
        print(
            f"  {row['candidate']:42s} {row['median_ms']:10.2f} ms "
            f"{row['first_call_s']:7.1f} s first {temp}{error}"
        )
    if result["roofline_ms"] is not None:
        print(f"  {'the device at its best':42s} {result['roofline_ms']:10.2f} ms")
    for t in result["targets"]:
        verdict = "met" if t["met"] else "MISSED"
        if t["reference"] is None:
            print(
                f"    {t['candidate']}, first call: {t['value']:.1f} s, "
                f"target {t['limit']:.1f} s: {verdict}"
            )
            continue
        low, high = t["quartiles"]
        print(
            f"    {t['candidate']} / {t['reference']}: {t['value']:.3f} "
            f"[{low:.3f}, {high:.3f}], target {t['limit']:.3f}: {verdict}",
            flush=True,
        )
