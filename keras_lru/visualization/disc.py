"""Plot of eigenvalues in the unit disc."""

from typing import Any

import numpy as np

from keras_lru.initializers.ring import check_ring
from keras_lru.visualization.axes import add_legend, make_axes
from keras_lru.visualization.spectrum import EigenvalueSource, spectra

_CIRCLE = np.exp(1j * np.linspace(0, 2 * np.pi, 400))


def plot_eigenvalues(
    source: EigenvalueSource,
    ax: Any = None,
    ring: tuple[float, float] | None = None,
    **kwargs: Any,
) -> Any:
    """Draws eigenvalues in the complex plane, and the unit circle around them.

    Figures 2 and 3 of Orvieto et al., 2023, [Resurrecting Recurrent Neural Networks for
    Long Sequences](https://arxiv.org/abs/2303.06349).

    Args:
        source: A recurrent layer or a model, built: each recurrence in it gets a colour
            (see `keras_lru.visualization.find_eigenvalues`). Or an array of
            eigenvalues, or a dictionary of arrays by name.
        ax: Matplotlib axes to draw on. `None` makes a figure.
        ring: `(r_min, r_max)`: draw these circles too.
        **kwargs: For `matplotlib.axes.Axes.scatter`.

    Returns:
        The axes.

    Raises:
        ValueError: If `source` has no eigenvalues, or if `ring` is none.
        ImportError: If Matplotlib is missing.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> from keras_lru import LRU
        >>> from keras_lru.visualization import plot_eigenvalues
        >>> lru = LRU(4, state_size=64, r_min=0.5, r_max=0.9)
        >>> lru.build((None, None, 2))
        >>> ax = plot_eigenvalues(lru, ring=(0.5, 0.9))
        >>> ax.collections[0].get_offsets().shape
        (64, 2)
    """
    layers = spectra(source)
    circles = {1.0: {"color": "0.7", "linewidth": 1}}
    if ring is not None:
        r_min, r_max = _check_ring(ring)
        dashed = {"color": "0.4", "linewidth": 1, "linestyle": "--"}
        circles = {**circles, r_min: dashed, r_max: dashed}
    ax = make_axes(ax)
    for radius, style in circles.items():
        ax.plot(radius * _CIRCLE.real, radius * _CIRCLE.imag, **style)
    for name, values in layers.items():
        ax.scatter(values.real, values.imag, **{"s": 9, "label": name, **kwargs})
    ax.set(xlabel="Re λ", ylabel="Im λ")
    ax.set_aspect("equal")
    add_legend(ax, layers)
    return ax


def _check_ring(ring):
    if not isinstance(ring, (tuple, list)) or len(ring) != 2:
        raise ValueError(f"`ring` must be (r_min, r_max). Received: ring={ring!r}")
    check_ring(*ring)
    return ring
