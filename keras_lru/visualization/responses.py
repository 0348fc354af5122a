"""Plots of impulse responses."""

from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_lru.checks import check_choice, check_positive_integer
from keras_lru.visualization.axes import add_legend, make_axes
from keras_lru.visualization.spectrum import has_eigenvalues


def plot_impulse_responses(
    layer: keras.layers.Layer,
    length: int,
    ax: Any = None,
    of: str = "outputs",
    indices: Iterable[int] | None = None,
    input_index: int = 0,
    **kwargs: Any,
) -> Any:
    """Draws what a recurrent layer makes of a single 1 among zeros, at the first step.

    Figure 4 of Orvieto et al., 2023, [Resurrecting Recurrent Neural Networks for Long
    Sequences](https://arxiv.org/abs/2303.06349).

    Args:
        layer: A recurrent layer, built. For `"outputs"` any that returns sequences; for
            `"states"` one that has `eigenvalues`.
        length: Number of steps.
        ax: Matplotlib axes to draw on. `None` makes a figure.
        of: `"outputs"`: the layer is run on the impulse. `"states"`: `Re λ^k`, each
            state's own answer.
        indices: Which outputs or states to draw, a line each. `None`: all.
        input_index: Which input feature has the impulse, for `"outputs"`.
        **kwargs: For `matplotlib.axes.Axes.plot`.

    Returns:
        The axes.

    Raises:
        ValueError: If an argument is out of its range, or the layer is not built, or is
            not of the kind that `of` needs.
        ImportError: If Matplotlib is missing.

    Example:
        >>> import matplotlib
        >>> matplotlib.use("Agg")
        >>> from keras_lru import LRU
        >>> from keras_lru.visualization import plot_impulse_responses
        >>> lru = LRU(1, state_size=2, r_min=0.9, return_sequences=True)
        >>> lru.build((None, None, 1))
        >>> ax = plot_impulse_responses(lru, length=100, of="states")
        >>> [len(line.get_ydata()) for line in ax.lines]
        [100, 100]
    """
    if not isinstance(layer, keras.layers.Layer):
        raise ValueError(f"`layer` must be a Keras layer. Received: layer={layer!r}")
    length = check_positive_integer("length", length)
    check_choice("of", of, ("outputs", "states"))
    if of == "states":
        responses = _state_responses(layer, length)
    else:
        responses = _output_responses(layer, length, input_index)
    size = responses.shape[1]
    indices = range(size) if indices is None else indices
    for index in indices:
        _check_index("indices", index, size)
    ax = make_axes(ax)
    for index in indices:
        label = f"{of.removesuffix('s')} {index}"
        ax.plot(responses[:, index], **{"label": label, "linewidth": 1, **kwargs})
    ax.set(xlabel="step", ylabel="response to an impulse")
    add_legend(ax, indices)
    return ax


def _state_responses(layer, length):
    if not has_eigenvalues(layer):
        raise ValueError(
            '`layer` must have `eigenvalues` for of="states". Received: '
            f"layer={layer!r}"
        )
    eigenvalues = np.ravel(layer.eigenvalues).astype("complex128")
    steps = np.arange(length)[:, None]
    # Not by a logarithm, which λ = 0 has none of.
    modulus, angle = np.abs(eigenvalues), np.angle(eigenvalues)
    return modulus**steps * np.cos(steps * angle)


def _output_responses(layer, length, input_index):
    wanted = {
        "return_sequences": True,
        "return_state": False,
        "stateful": False,
        "go_backwards": False,
    }
    for name, value in wanted.items():
        if bool(getattr(layer, name, value)) is not value:
            raise ValueError(
                f'`layer` must have {name}={value} for of="outputs". Received: '
                f"layer={layer.name!r} with {name}={not value}"
            )
    if not layer.built:
        raise ValueError(
            "`layer` must be built: call it on inputs, or call `build(input_shape)`. "
            f"Received: layer={layer.name!r}"
        )
    features = _input_features(layer.get_build_config())
    _check_index("input_index", input_index, features)
    impulse = np.zeros((1, length, features), "float32")
    impulse[0, 0, input_index] = 1
    outputs = layer(impulse, training=False)
    return keras.ops.convert_to_numpy(outputs)[0].astype("float32")


def _input_features(config):
    """Of what a layer was built on: other arguments than the inputs may have shapes."""
    shapes = config.get("shapes_dict", config)
    return next(iter(shapes.values()))[-1]


def _check_index(name, index, size):
    if not 0 <= index < size:
        raise ValueError(f"`{name}` must be in [0, {size}). Received: {name}={index!r}")
