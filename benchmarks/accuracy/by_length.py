"""Accuracy and time against length, as a picture."""

import statistics

from benchmarks.accuracy.tasks import LENGTHS


def draw(results, path):
    """Draws the results of one task at several lengths.

    Args:
        results: List of results, those of other tasks are left out.
        path: Where to, a picture's file.

    Returns:
        `path`.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    # "digits, 64 steps"
    length = {name: int(name.split()[1]) for name in LENGTHS}
    points = {}
    for result in results:
        if result["task"] in length:
            by_length = points.setdefault(result["candidate"], {})
            by_length.setdefault(length[result["task"]], []).append(result)
    figure, (accuracy, time) = plt.subplots(
        1, 2, figsize=(9, 3.6), layout="constrained"
    )
    for candidate, by_length in points.items():
        for axis, key in ((accuracy, "score"), (time, "seconds")):
            means = {
                steps: statistics.mean(result[key] for result in found)
                for steps, found in sorted(by_length.items())
            }
            axis.plot(means.keys(), means.values(), marker="o", label=candidate)
    accuracy.set(ylabel="test accuracy, %", ylim=(0, 102))
    time.set(ylabel="seconds, all of the training", yscale="log")
    for axis in (accuracy, time):
        axis.set(xlabel="steps of a sequence", xscale="log")
        axis.set_xticks(sorted(length.values()), sorted(length.values()), minor=False)
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    accuracy.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
