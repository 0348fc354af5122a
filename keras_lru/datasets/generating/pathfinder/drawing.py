"""Anti-aliased dashes and discs: drawn larger, then shrunk with a Lanczos filter.

Rasters are uint8, `(2 * reach + 1, 2 * reach + 1)`, 255 where covered. Lengths are in
pixels of the raster; angles are in radians, from the column axis towards the row axis.
"""

import math

import numpy as np
from PIL import Image, ImageDraw


def draw_dash(angle, length, thickness, reach, antialias):
    """Draws a dash that ends in the middle pixel, having come along `angle`."""
    middle = _middle(reach, antialias)
    canvas = Image.new("L", (2 * middle + 1, 2 * middle + 1))
    start = (
        middle - length * antialias * math.cos(angle),
        middle - length * antialias * math.sin(angle),
    )
    ImageDraw.Draw(canvas).line(
        [start, (middle, middle)], fill=255, width=round(thickness * antialias)
    )
    return _shrink(canvas, reach, antialias)


def draw_capsule(angle, length, radius, reach, antialias):
    """Draws all points less than `radius` away from where a dash would lie.

    A disc is a capsule of length 0.
    """
    middle = _middle(reach, antialias)
    y, x = np.mgrid[-middle : middle + 1, -middle : middle + 1] / antialias
    along = x * math.cos(angle) + y * math.sin(angle)
    across = y * math.cos(angle) - x * math.sin(angle)
    distance = np.hypot(along - np.clip(along, -length, 0), across)
    canvas = Image.fromarray(np.where(distance <= radius, 255, 0).astype("uint8"))
    return _shrink(canvas, reach, antialias)


def _middle(reach, antialias):
    return antialias * (reach + 1)


def _shrink(canvas, reach, antialias):
    # Cut so that the middle of the canvas becomes the middle of the middle pixel.
    half = antialias * (reach + 0.5)
    middle = canvas.width / 2
    box = (middle - half, middle - half, middle + half, middle + half)
    side = 2 * reach + 1
    return np.asarray(canvas.resize((side, side), Image.Resampling.LANCZOS, box))
