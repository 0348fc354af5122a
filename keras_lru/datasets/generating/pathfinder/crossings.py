"""Whether curves cross, in the gaps between their dashes too."""

import numpy as np


def solid_line(table, curve):
    """A curve with its gaps closed: segments `(n, 2, 2)`, end points in pixels."""
    pivots = curve[:-1, 0] + table.to_pivot[curve[:-1, 1]]
    pixels = np.zeros(2 * len(curve), "int64")
    pixels[0] = table.start(curve)
    pixels[1::2] = curve[:, 0]
    pixels[2::2] = pivots
    points = table.positions(pixels)
    return np.stack([points[:-1], points[1:]], axis=1)


def meet(segments, others):
    """Whether any of `segments` and any of `others` have a point in common."""
    first, second = segments[:, np.newaxis], others[np.newaxis]
    boxes = (first.min(axis=-2) <= second.max(axis=-2)) & (
        second.min(axis=-2) <= first.max(axis=-2)
    )
    near = boxes.all(axis=-1)
    return bool((near & _straddle(first, second) & _straddle(second, first)).any())


def _straddle(segments, others):
    """Whether the ends of `others` are not on one side of `segments`."""
    start, end = segments[..., 0, :], segments[..., 1, :]
    sides = [_cross(end - start, others[..., point, :] - start) for point in (0, 1)]
    return sides[0] * sides[1] <= 0


def _cross(a, b):
    return a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
