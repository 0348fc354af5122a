"""Histogram of half-lives: how long recurrences remember."""

from typing import Any

import numpy as np

from keras_lru.checks import check_positive_integer
from keras_lru.visualization.axes import add_legend, make_axes
from keras_lru.visualization.spectrum import EigenvalueSource, half_lives, spectra


def plot_half_lives(
    source: EigenvalueSource, ax: Any = None, bins: int = 30, **kwargs: Any
) -> Any:
    """Draws a histogram of half-lives, `ln 2 / −ln|λ|` steps, on a log axis.

    Args:
        source: A recurrent layer or a model, built; an array of eigenvalues, or a
            dictionary of arrays by name. Several recurrences are stacked.
        ax: Matplotlib axes to draw on. `None` makes a figure.
        bins: Number of bins, all of one width on the log axis.
        **kwargs: For `matplotlib.axes.Axes.hist`.

    Returns:
        The axes. Eigenvalues that are 0 or not inside the unit disc have no place on
        a log axis: the label says how many were left out.

    Raises:
        ValueError: If `source` has no eigenvalues, or none to draw, or if `bins` is not
            a positive integer.
        ImportError: If Matplotlib is missing.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> from keras_lru.visualization import plot_half_lives
        >>> ax = plot_half_lives([0.5, 0.9, 0.99j, 0.999j], bins=3)
        >>> [int(bar.get_height()) for bar in ax.patches]
        [2, 1, 1]
    """
    bins = check_positive_integer("bins", bins)
    names, values = [], []
    for name, eigenvalues in spectra(source).items():
        lives = half_lives(eigenvalues)
        drawn = lives[np.isfinite(lives) & (lives > 0)]
        left_out = len(lives) - len(drawn)
        names.append(f"{name} ({left_out} left out)".strip() if left_out else name)
        values.append(drawn)
    everything = np.concatenate(values)
    if not everything.size:
        raise ValueError(
            "`source` must have an eigenvalue with 0 < |λ| < 1. Received: none among "
            f"{names}"
        )
    low, high = everything.min(), everything.max()
    if low == high:
        low, high = low / 2, high * 2
    edges = np.geomspace(low, high, bins + 1)
    # Rounded, they may not hold what they were made from.
    edges[[0, -1]] = low, high
    ax = make_axes(ax)
    ax.hist(values, edges, **{"stacked": True, "label": names, **kwargs})
    ax.set(xscale="log", xlabel="half-life, steps", ylabel="eigenvalues")
    add_legend(ax, names)
    return ax
