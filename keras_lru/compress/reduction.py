"""Fewer states for a trained model, with a bound on what changes."""

import contextlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops, tree

from keras_lru.checks import check_positive_integer, is_number
from keras_lru.compress.balancing import BalancedSystem
from keras_lru.compress.calibrating import reached_by
from keras_lru.compress.cells import find_cells, system_of, weights_for
from keras_lru.compress.rebuilding import resized, with_one_size


class ReducedLayer(NamedTuple):
    """What became of one recurrence.

    Attributes:
        singular_values: The Hankel singular values of the states there were.
        state_size: How many complex states are left.
        bound: The largest gain of the difference between the layer and the old one:
            the root of the sum of its squares over time, beside that of the inputs.
            `None` with `calibration` or `length`: for those none is known.
    """

    singular_values: np.ndarray
    state_size: int
    bound: float | None


class Reduced(NamedTuple):
    """A smaller model, and what is known of it.

    Attributes:
        model: The model, or the layer. It is not compiled.
        layers: `{path of the cell: ReducedLayer}`.
        error: The root mean square of the change of the outputs on `data`, as a share
            of that of the outputs; `None` without data.
    """

    model: Any
    layers: dict[str, ReducedLayer]
    error: float | None


def reduce_states(
    model: keras.layers.Layer,
    state_size: int | None = None,
    tolerance: float | None = None,
    layers: Sequence[str] | None = None,
    data: Any = None,
    *,
    calibration: Any = None,
    length: int | None = None,
) -> Reduced:
    """The same model with fewer states in its recurrences, by balanced truncation.

    The states of each `LRU` and `S5` are put in the order of their Hankel singular
    values: of how much of the past reaches the outputs through them. Those at the end
    go, and what is left is made diagonal again. How far a recurrence can be from what
    it was is known before ([CompreSSM](https://arxiv.org/abs/2510.02823) does it while
    LRUs are trained). All else, the feedthrough D included, is copied.

    Computed in double precision on the CPU, from the weights alone, for any inputs of
    any length; it takes time as N³, a second for 256 states. With `calibration`, what
    counts are the states that real inputs reach: of a trained model far fewer are
    needed then, but no bound holds, only the error that is measured.

    Args:
        model: A built `LRU` or `S5`, or a model of them: those of this package, their
            blocks, `Bidirectional`, `keras.layers.RNN` of a cell, and `Sequential` and
            functional models of these. It stays as it is.
        state_size: Positive integer, complex states to keep in each recurrence that
            has more. (An S5 with `conjugate_symmetry` counts its conjugates too: half
            of its `state_size`.)
        tolerance: Or, in its place, the largest bound, twice the sum of the singular
            values left out, as a share of the largest of them: each recurrence keeps
            as few states as it takes. 0 keeps all that are not exactly without effect.
            Recurrences that have one size in
            the config of a model, as the two of a bidirectional block, keep the larger
            number.
        layers: Names of the layers, or parts of paths, to make smaller. `None`: all.
        data: Inputs of the model, for the measured error. `None`: none is measured.
        calibration: Inputs of the model, some hundred sequences of the training data:
            states are balanced by what these reach. `None`: by what any inputs reach.
        length: Positive integer, the steps that sequences have: what would happen later
            does not count. `None`: all steps count.

    Returns:
        A `Reduced`: the new model, what is known of each recurrence, and the error.

    Raises:
        ValueError: If `model` is not built, or has nothing that can be made smaller; if
            not exactly one of `state_size` and `tolerance` is given; if no layer has a
            name in `layers`; if an eigenvalue is not inside the unit circle, or what is
            left cannot be computed in double precision. The message names the layer.

    Example:

    >>> import numpy as np
    >>> from keras_lru import LRU
    >>> from keras_lru.compress import reduce_states
    >>> layer = LRU(2, state_size=32, r_min=0.5, r_max=0.9, seed=0)
    >>> x = np.random.default_rng(0).normal(size=(4, 50, 3)).astype("float32")
    >>> _ = layer(x)
    >>> small = reduce_states(layer, state_size=16, data=x)
    >>> small.model.get_config()["state_size"], small.error < 0.05
    (16, True)
    """
    check_reduction(state_size, tolerance, length)
    cells = check_reducible(model, layers)
    reached = {}
    if calibration is not None:
        with _from_the_start(model):
            reached = reached_by(model, cells, calibration)
    balanced = {
        path: _balance(path, cell, length, reached.get(path))
        for path, cell in cells.items()
    }
    sizes = {path: cell.num_states for path, cell in find_cells(model).items()}
    for path, system in balanced.items():
        wanted = state_size or system.size_within(tolerance)
        sizes[path] = min(sizes[path], wanted)
    for group in with_one_size(model):
        largest = max((sizes[path] for path in group), default=0)
        sizes.update(dict.fromkeys(group, largest))

    new = resized(model, sizes)
    values = {id(weight): ops.convert_to_numpy(weight) for weight in model.weights}
    reduced = {}
    for path, system in balanced.items():
        size = sizes[path]
        if size < cells[path].num_states:
            try:
                weights = weights_for(cells[path], system.truncate(size))
            except ValueError as error:
                raise ValueError(_named(path, error)) from error
            for weight in cells[path].weights:
                values[id(weight)] = weights.get(weight.name, values[id(weight)])
        bound = system.bound(size)
        reduced[path] = ReducedLayer(system.singular_values, size, bound)
    new.set_weights([values[id(weight)] for weight in model.weights])
    for weight, copy in zip(model.weights, new.weights, strict=True):
        copy.trainable = weight.trainable
    return Reduced(new, reduced, None if data is None else _error(model, new, data))


def check_reduction(
    state_size: int | None, tolerance: float | None, length: int | None
) -> None:
    """Raise `ValueError` if `reduce_states` would, for how much is to be left."""
    if (state_size is None) == (tolerance is None):
        raise ValueError(
            "Give one of `state_size` and `tolerance`. Received: "
            f"state_size={state_size}, tolerance={tolerance}"
        )
    if state_size is not None:
        check_positive_integer("state_size", state_size)
    elif not (is_number(tolerance) and 0 <= float(tolerance or 0) < float("inf")):
        raise ValueError(
            "`tolerance` must be a non-negative number. Received: "
            f"tolerance={tolerance!r}"
        )
    if length is not None:
        check_positive_integer("length", length)


def check_reducible(model: Any, layers: Sequence[str] | None = None) -> dict:
    """`{path: cell}` to make smaller; raise `ValueError` if it cannot be done."""
    if not (isinstance(model, keras.layers.Layer) and model.built):
        raise ValueError(
            "`model` must be a built layer or model: call it on inputs once. Received: "
            f"model={model!r}"
        )
    if any(getattr(x, "lora_enabled", False) for x in model._flatten_layers()):
        raise ValueError(
            "`model` must have all of its weights in one: save it and load it, after "
            f"`enable_lora`. Received: model={model.name!r}, which trains in low rank"
        )
    cells = find_cells(model)
    if any(cell._is_quantized for cell in cells.values()):
        raise ValueError(
            "`model` must have its recurrences in full precision: reduce it first, and "
            f"quantize it then. Received: model={model.name!r}, which is quantized"
        )
    return _chosen(cells, layers)


def _chosen(cells, layers):
    if not cells:
        raise ValueError("`model` must hold an LRU or an S5. Received: none")
    if layers is None:
        return cells
    if isinstance(layers, str) or not layers:
        raise ValueError(
            "`layers` must be a list of names of layers, or None for all. Received: "
            f"layers={layers!r}"
        )
    chosen = {}
    for name in layers:
        found = {p: c for p, c in cells.items() if name in p or name in p.split("/")}
        if not found:
            raise ValueError(
                f"`layers` must be names of layers, or parts of {list(cells)}. "
                f"Received: {name!r}"
            )
        chosen.update(found)
    return chosen


def _balance(path, cell, length, reached):
    try:
        return BalancedSystem(system_of(cell), length, reached)
    except ValueError as error:
        raise ValueError(_named(path, error)) from error


def _named(path, error):
    return f"The states of {path!r} cannot be reduced: {error}"


def _error(model, new, data):
    with _from_the_start(model), _from_the_start(new):
        old, now = (
            [ops.convert_to_numpy(x).astype("float64") for x in tree.flatten(m(data))]
            for m in (model, new)
        )
    change = sum(np.sum(np.square(a - b)) for a, b in zip(old, now, strict=True))
    return float(np.sqrt(change / max(sum(np.sum(np.square(a)) for a in old), 1e-300)))


@contextlib.contextmanager
def _from_the_start(model):
    """Inside, layers that keep states begin with zeros; after it, as before."""
    kept = [
        state
        for layer in model._flatten_layers()
        if getattr(layer, "stateful", False)
        for state in tree.flatten(getattr(layer, "states", None) or [])
    ]
    before = [ops.convert_to_numpy(state) for state in kept]
    for state in kept:
        state.assign(ops.zeros(state.shape, state.dtype))
    try:
        yield
    finally:
        for state, value in zip(kept, before, strict=True):
            state.assign(value)
