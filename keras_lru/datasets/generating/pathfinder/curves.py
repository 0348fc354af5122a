"""Growing dashed curves that keep clear of one another.

Most attempts at two long curves run into something, so many are made side by side,
each on canvases of its own, and the first that succeeds is kept.
"""

import math

import numpy as np

from keras_lru.datasets.generating.pathfinder.crossings import meet, solid_line
from keras_lru.datasets.generating.pathfinder.dashes import TAKEN

_MOST_ATTEMPTS = 64
_MOST_BATCHES = 10_000
_CANVAS_BYTES = 2**21
_REDRAWS = 2
_RETRIES = 4
_PLACES = 64


def long_curves(table, rng):
    """Grows the two long curves, a dash at a time and in turns.

    Args:
        table: A `DashTable`.
        rng: A `numpy.random.Generator`.

    Returns:
        The curves' dashes, `(2, contour_length, 2)`, and a canvas of what they take.

    Raises:
        ValueError: If the curves don't fit, as far as many attempts can tell.
    """
    for _ in range(_MOST_BATCHES):
        curves, canvas = _attempt_long_curves(table, rng)
        if curves is not None:
            return curves, canvas
    raise ValueError(
        "`spec` must leave room for two long curves, which no attempt has found. "
        f"Received: spec={table.spec}"
    )


def _attempt_long_curves(table, rng):
    size = 2 * table.layer_size
    # Canvases that leave the processor's cache cost more than they save.
    attempts = min(_MOST_ATTEMPTS, max(1, _CANVAS_BYTES // (2 * size)))
    # To a curve all is taken but its own last dash, where it goes on.
    canvases = [np.tile(table.blank(), attempts) for _ in range(2)]
    curves = np.zeros((2, attempts, table.spec.contour_length, 2), "int64")
    first = curves[:, :, 0]
    first[...] = _first_dashes(table, attempts, rng)
    first[..., 0] += size * np.arange(attempts)
    table.take(canvases[1], first[0])
    fit = table.fits(canvases[0], first[0]) & table.fits(canvases[1], first[1])
    table.take(canvases[0], first[1])
    alive = np.flatnonzero(fit)
    for step in range(1, table.spec.contour_length):
        for mine, other in ((0, 1), (1, 0)):
            last = curves[mine, alive, step - 1]
            dashes, found = _extend(table, canvases[mine], last, rng)
            alive = alive[found]
            if not len(alive):
                return None, None
            table.take(canvases[mine], last[found])
            table.take(canvases[other], dashes)
            curves[mine, alive, step] = dashes
    origin = size * alive[0]
    curves = curves[:, alive[0]] - [origin, 0]
    if meet(*(solid_line(table, curve) for curve in curves)):
        return None, None
    canvas = canvases[0][origin : origin + size]
    table.take(canvas, curves[0, -1])
    return curves, canvas


def short_curve(table, canvas, others, num_dashes, rng):
    """Grows a curve from a random free place, with a few retries.

    Args:
        table: A `DashTable`.
        canvas: What is taken; the curve is added to it.
        others: Segments of the curves there are, `(n, 2, 2)`, not to be crossed.
        num_dashes: Number of dashes of the curve.
        rng: A `numpy.random.Generator`.

    Returns:
        The curve's dashes, `(num_dashes, 2)`, or `None` if all tries failed.
    """
    tries = 1 + _RETRIES
    origins = 2 * table.layer_size * np.arange(tries)
    canvases = np.tile(canvas, tries)
    curves = np.zeros((tries, num_dashes, 2), "int64")
    curves[:, 0], found = _free_dashes(table, canvas, tries, rng)
    curves[:, 0, 0] += origins
    alive = np.flatnonzero(found)
    for step in range(1, num_dashes):
        last = curves[alive, step - 1]
        dashes, found = _extend(table, canvases, last, rng)
        table.take(canvases, last[found])
        alive = alive[found]
        curves[alive, step] = dashes
    for i in alive:
        curve = curves[i] - [origins[i], 0]
        if not meet(solid_line(table, curve), others):
            table.take(canvas, curve)
            return curve
    return None


def _first_dashes(table, number, rng):
    """First dashes of both long curves, `(2, number, 2)`."""
    distance = table.spec.seed_distance
    starts = rng.integers(
        2 * distance, table.spec.size - 2 * distance, size=(2, number, 2)
    )
    direction = rng.uniform(0, 2 * math.pi, number)
    steps = np.stack([np.sin(direction), np.cos(direction)], axis=-1)
    starts[1] = starts[0] + np.rint(distance * steps)
    return _dashes_from(table, starts, _first_angles(table, (2, number), rng))


def _free_dashes(table, canvas, number, rng):
    """First dashes `(number, 2)`, and whether a free place was found for each."""
    starts = rng.integers(table.spec.size, size=(_PLACES, number, 2))
    # A dash keeps its angle while it looks for a place.
    dashes = _dashes_from(table, starts, _first_angles(table, number, rng))
    fit = table.fits(canvas, dashes)
    return dashes[fit.argmax(axis=0), np.arange(number)], fit.any(axis=0)


def _first_angles(table, shape, rng):
    return rng.integers(table.num_turns, len(table.angles), size=shape)


def _dashes_from(table, starts, angles):
    ends = table.pixels(starts) + table.to_end[angles]
    return np.stack(np.broadcast_arrays(ends, angles), axis=-1)


def _extend(table, canvas, last, rng):
    """Draws the dashes that follow `last`, `(n, 2)`.

    Returns:
        Those found, `(m, 2)`, and whether one was found for each: bool, `(n,)`.
    """
    pivots = last[:, 0] + table.to_pivot[last[:, 1]]
    ends = pivots[:, np.newaxis] + table.circle
    free = TAKEN - canvas[ends + table.layer_size]
    cumulative = np.cumsum(table.turn_weights[last[:, 1]] * free, axis=1)
    total = cumulative[:, -1]
    # All redraws at once; the first that fits counts.
    drawn = rng.random((1 + _REDRAWS, len(last))) * total
    turns = (cumulative <= drawn[..., np.newaxis]).sum(axis=-1)
    # Nothing is free where all are passed.
    turns = np.minimum(turns, len(table.circle) - 1)
    each = np.arange(len(last))
    dashes = np.stack([ends[each, turns], turns], axis=-1)
    fit = table.fits(canvas, dashes) & (total > 1e-4 * TAKEN)
    found = fit.any(axis=0)
    return dashes[fit.argmax(axis=0), each][found], found
