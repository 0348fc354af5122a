"""What the states of a recurrence are worth, and where they were cut."""

from collections.abc import Mapping
from typing import Any

from keras_lru.visualization.axes import add_legend, make_axes


def plot_singular_values(layers: Mapping[str, Any], ax: Any = None) -> Any:
    """Draws Hankel singular values by their rank, and what was left of them.

    Args:
        layers: `{name: layer}` with attributes `singular_values` and `state_size`, as
            `keras_lru.compress.reduce_states` returns them.
        ax: Matplotlib axes to draw on. `None` makes a figure.

    Returns:
        The axes. Values that were kept have filled marks; those that are zero have no
        place on a log axis.

    Raises:
        ValueError: If `layers` is empty.
        ImportError: If Matplotlib is missing.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> from keras_lru import LRU
        >>> from keras_lru.compress import reduce_states
        >>> from keras_lru.visualization import plot_singular_values
        >>> layer = LRU(2, state_size=8, r_max=0.9, seed=0)
        >>> layer.build((None, None, 3))
        >>> ax = plot_singular_values(reduce_states(layer, state_size=4).layers)
        >>> [len(line.get_xdata()) for line in ax.lines]
        [8, 4]
    """
    if not layers:
        raise ValueError("`layers` must hold a layer. Received: layers={}")
    ax = make_axes(ax)
    for name, layer in layers.items():
        values, size = layer.singular_values, layer.state_size
        ranks = range(1, len(values) + 1)
        label = f"{name}, {size} of {len(values)}"
        (line,) = ax.plot(ranks, values, "o-", markersize=4, mfc="none", label=label)
        ax.plot(ranks[:size], values[:size], "o", markersize=4, color=line.get_color())
    ax.set_yscale("log")
    ax.set_xlabel("state")
    ax.set_ylabel("Hankel singular value")
    add_legend(ax, layers)
    return ax
