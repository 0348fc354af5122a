"""Plot of eigenvalues over the course of training."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_lru.checks import check_choice
from keras_lru.visualization.axes import add_legend, make_axes
from keras_lru.visualization.records import read_records
from keras_lru.visualization.spectrum import QUANTITIES

_LABELS = {"modulus": "|λ|", "half_life": "half-life, steps", "phase": "|arg λ|"}


def plot_spectrum_history(
    source: str | os.PathLike | Sequence[dict],
    ax: Any = None,
    quantity: str = "modulus",
    **kwargs: Any,
) -> Any:
    """Draws what `SpectrumLogger` recorded: the spectrum of each layer over the steps.

    A line for the median, a band for the middle half of the eigenvalues, a lighter one
    from the least to the largest.

    Args:
        source: Path of a CSV file that `SpectrumLogger` wrote, or its `records`.
        ax: Matplotlib axes to draw on. `None` makes a figure.
        quantity: `"modulus"`, |λ|; `"half_life"`, on a log axis, where infinite values
            are gaps; or `"phase"`, |arg λ|.
        **kwargs: For `matplotlib.axes.Axes.plot`, which draws the medians.

    Returns:
        The axes.

    Raises:
        ValueError: If `quantity` is another, if `source` is empty or a file of another
            kind.
        ImportError: If Matplotlib is missing.

    Example:
        >>> import keras, matplotlib, numpy as np
        >>> matplotlib.use("Agg")
        >>> from keras_lru import LRU
        >>> from keras_lru.visualization import SpectrumLogger, plot_spectrum_history
        >>> model = keras.Sequential([keras.Input((5, 2)), LRU(1)])
        >>> model.compile("sgd", "mse")
        >>> logger = SpectrumLogger(every=1)
        >>> x, y = np.ones((4, 5, 2)), np.ones((4, 1))
        >>> history = model.fit(x, y, batch_size=2, verbose=0, callbacks=[logger])
        >>> plot_spectrum_history(logger.records).lines[0].get_xdata().tolist()
        [0, 1, 2]
    """
    check_choice("quantity", quantity, QUANTITIES)
    recorded = read_records(source) if isinstance(source, str | os.PathLike) else source
    if not recorded:
        raise ValueError("`source` must hold a record at least. Received: none")
    ax = make_axes(ax)
    names = list(dict.fromkeys(record["layer"] for record in recorded))
    for name in names:
        records = [record for record in recorded if record["layer"] == name]
        steps = np.array([record["step"] for record in records])

        def curve(statistic, records=records):
            key = f"{quantity}_{statistic}"
            values = np.array([record[key] for record in records])
            return np.where(np.isfinite(values), values, np.nan)

        (line,) = ax.plot(steps, curve("median"), **{"label": name, **kwargs})
        for low, high, alpha in (("min", "max", 0.15), ("q25", "q75", 0.3)):
            ax.fill_between(
                steps,
                curve(low),
                curve(high),
                color=line.get_color(),
                alpha=alpha,
                linewidth=0,
            )
    ax.set(xlabel="step", ylabel=_LABELS[quantity])
    if quantity == "half_life":
        ax.set_yscale("log")
    add_legend(ax, names)
    return ax
