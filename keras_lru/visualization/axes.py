"""Where to draw: the one place that imports Matplotlib."""


def make_axes(ax):
    """`ax` itself, or for `None` the axes of a new figure."""
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'To draw, Matplotlib is needed: pip install "keras-lru[plot]"'
        ) from error
    return plt.subplots(layout="constrained")[1]


def add_legend(ax, names):
    """A legend, where there is more than one thing to tell apart."""
    if len(names) > 1:
        ax.legend(fontsize="small")
