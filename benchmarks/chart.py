"""Time per token against length, as a picture."""

import re

_ROW = re.compile(r"(.+), length (\d+)")


def draw(report, path):
    """Draw the cases whose rows are named "…, length n"; `None` if there are none."""
    lines = {}
    for result in report["results"]:
        for row in result["rows"]:
            if match := _ROW.fullmatch(row["candidate"]):
                nanoseconds = 1e6 * row["median_ms"] / result["tokens"]
                lines.setdefault(match[1], []).append((int(match[2]), nanoseconds))
    if not lines:
        return None
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 4.5), layout="constrained")
    for name, points in lines.items():
        axis.plot(*zip(*sorted(points), strict=True), marker="o", label=name)
    axis.set(
        xscale="log",
        yscale="log",
        xlabel="length (batch · length is constant)",
        ylabel="ns per token, forward + backward",
        title=f"{report['backend']}, {report['suite']}",
    )
    axis.legend()
    axis.grid(alpha=0.3, which="both")
    figure.savefig(path, dpi=120)
    plt.close(figure)
    return path
