"""Accuracy against length, as a picture."""

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
    figure, axis = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for candidate, by_length in points.items():
        means = {
            steps: statistics.mean(result["score"] for result in found)
            for steps, found in sorted(by_length.items())
        }
        axis.plot(means.keys(), means.values(), marker="o", label=candidate)
    axis.set(
        xlabel="steps of a sequence",
        xscale="log",
        ylabel="test accuracy, %",
        ylim=(0, 102),
    )
    axis.set_xticks(sorted(length.values()), sorted(length.values()))
    axis.minorticks_off()
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
