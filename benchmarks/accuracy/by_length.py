"""Accuracy and time of a training step against length, as a picture."""

import statistics

from benchmarks.accuracy.tasks import LENGTHS


def time_steps(candidates, rounds=5):
    """Times `train_on_batch` at each length, the candidates in turn.

    Args:
        candidates: Names of `benchmarks.accuracy.candidates.CANDIDATES`.
        rounds: Positive integer.

    Returns:
        List of `{"task", "candidate", "step_ms"}`, medians, of a batch of the task.
    """
    from benchmarks.accuracy.candidates import CANDIDATES
    from benchmarks.timing import time_interleaved

    found = []
    for name, make_task in LENGTHS.items():
        task = make_task()
        x, y = (values[: task.batch_size] for values in task.train[:2])

        def step(model, x=x, y=y):
            return lambda: model.train_on_batch(x, y)

        steps = {c: step(CANDIDATES[c](task, 0)) for c in candidates}
        seconds = time_interleaved(steps, rounds, name)
        found += [
            {"task": name, "candidate": c, "step_ms": 1e3 * statistics.median(values)}
            for c, values in seconds.items()
        ]
    return found


def draw(results, times, path):
    """Draws the results of one task at several lengths.

    Args:
        results: List of results, those of other tasks are left out.
        times: What `time_steps` returned, or an empty list.
        path: Where to, a picture's file.

    Returns:
        `path`.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (scores, steps) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for axis, points in (
        (scores, _by_length(results, "score")),
        (steps, _by_length(times, "step_ms")),
    ):
        for candidate, means in points.items():
            axis.plot(means.keys(), means.values(), marker="o", label=candidate)
        axis.set(xlabel="steps of a sequence", xscale="log")
        ticks = sorted(_length(name) for name in LENGTHS)
        axis.set_xticks(ticks, ticks)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    scores.set(ylabel="test accuracy, %", ylim=(0, 102))
    steps.set(ylabel="one training step, ms", yscale="log")
    scores.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path


def _by_length(rows, value):
    """`{candidate: {steps: mean}}`."""
    points = {}
    for row in rows:
        if row["task"] in LENGTHS:
            by_length = points.setdefault(row["candidate"], {})
            by_length.setdefault(_length(row["task"]), []).append(row[value])
    return {
        candidate: {steps: statistics.mean(xs) for steps, xs in sorted(found.items())}
        for candidate, found in points.items()
    }


def _length(task):
    """64 of "digits, 64 steps"."""
    return int(task.split()[1])
