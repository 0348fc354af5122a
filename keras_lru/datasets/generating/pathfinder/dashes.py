"""Dashes on flat canvases: where they lie, what they take, how they turn."""

import functools
import math

import numpy as np

from keras_lru.datasets.generating.pathfinder.drawing import draw_capsule, draw_dash

TAKEN = 255
# Two soft edges may meet, two middles may not.
_OVERLAP = round(1.8 * TAKEN)
# Fainter than this are the ripples of the Lanczos filter.
_FAINTEST = 8


class DashTable:
    """All that depends on the angle of a dash, for one spec and one margin.

    A dash is two integers `(end, angle)`: the pixel where it ends and the index of its
    angle. The angles are those of the pixels on a circle, which curves turn to, and the
    whole degrees, for first dashes. Arrays of dashes have shape `(..., 2)`.

    A canvas is flat, uint8, and has a border, so that a pixel is one integer and a
    look-up over the edge needs no test. What is taken, 0 free to 255, fills a canvas of
    two layers: dashes with the margin around them, and the same with the margin twice,
    where no dash may end. Several canvases may lie one after the other.

    Args:
        spec: A `PathfinderSpec`.
        margin: Free pixels kept around a dash.
    """

    def __init__(self, spec, margin):
        self.spec = spec
        self.margin = margin
        reach = spec.dash_length + math.ceil(spec.thickness) + margin
        radius = spec.dash_length + margin
        self.border = radius + reach + margin
        self.stride = spec.size + 2 * self.border
        self.layer_size = self.stride**2

        circle = _circle(radius)
        turns = np.arctan2(circle[:, 0], circle[:, 1])
        self.num_turns = len(turns)
        self.angles = np.concatenate([turns, np.deg2rad(np.arange(360))])
        self.turn_weights = _turn_weights(self.angles, turns, spec.continuity)
        self.circle = self._flat(circle)
        self.to_pivot = self._steps(margin)
        self.to_end = self._steps(spec.dash_length)

        half = spec.thickness / 2
        self._drawn = self._rasters(draw_dash, spec.thickness, reach)
        self._taken = self._rasters(draw_capsule, half + margin, reach)
        twice = self._rasters(draw_capsule, half + 2 * margin, reach + margin)
        self._taken_layers = (
            np.concatenate([self._taken[0], twice[0] + self.layer_size], axis=1),
            np.concatenate([self._taken[1], twice[1]], axis=1),
        )

    def _flat(self, offsets):
        return offsets[..., 0] * self.stride + offsets[..., 1]

    def _steps(self, length):
        direction = np.stack([np.sin(self.angles), np.cos(self.angles)], axis=-1)
        return self._flat(np.rint(length * direction).astype("int64"))

    def _rasters(self, draw, width, reach):
        length, antialias = self.spec.dash_length, self.spec.antialias
        rasters = [
            self.lit_pixels(draw(angle, length, width, reach, antialias))
            for angle in self.angles
        ]
        longest = max(len(pixels) for pixels, _ in rasters)
        # Padded with what is there already, which changes no maximum.
        padded = [
            [np.pad(part, (0, longest - len(part)), "edge") for part in raster]
            for raster in rasters
        ]
        return tuple(np.stack(parts) for parts in zip(*padded, strict=True))

    def lit_pixels(self, raster):
        """Pixels of a raster, relative to its middle, and their values."""
        lit = np.argwhere(raster >= _FAINTEST)
        return self._flat(lit - len(raster) // 2), raster[tuple(lit.T)]

    def blank(self):
        """A canvas where nothing but the border and the spec's padding is taken."""
        canvas = np.full((2, self.stride, self.stride), TAKEN, "uint8")
        for layer in (0, 1):
            edge = self.border + self.spec.padding + layer * self.margin
            canvas[layer, edge:-edge, edge:-edge] = 0
        return canvas.ravel()

    def crop(self, canvas):
        """The first layer of a canvas without its border, `(size, size)`."""
        inside = slice(self.border, -self.border)
        return canvas.reshape(-1, self.stride, self.stride)[0, inside, inside]

    def pixels(self, positions):
        """Pixels of rows and columns `(..., 2)` of the image."""
        return self._flat(positions + self.border)

    def positions(self, pixels):
        """Rows and columns `(..., 2)` of pixels."""
        return np.stack(np.divmod(pixels, self.stride), axis=-1) - self.border

    def start(self, curve):
        """The pixel where the first dash of a curve starts."""
        end, angle = curve[0]
        return end - self.to_end[angle]

    def fits(self, canvas, dashes):
        """Whether each dash, with its margin, crosses nothing that is taken."""
        pixels, values = _place(dashes, self._taken)
        overlap = canvas[pixels].astype("int16") + values
        return overlap.max(axis=-1) < _OVERLAP

    def take(self, canvas, dashes):
        """Marks dashes and the margin around them as taken."""
        paint(canvas, *_place(dashes, self._taken_layers))

    def draw(self, canvas, dashes):
        """Draws dashes on a canvas."""
        paint(canvas, *_place(dashes, self._drawn))


@functools.cache
def dash_table(spec, margin):
    """The `DashTable` of a spec and a margin, made once a process."""
    return DashTable(spec, margin)


def paint(canvas, pixels, values):
    """Raises pixels of a canvas to values that are higher."""
    # Several times faster on one axis than on many.
    np.maximum.at(canvas, pixels.ravel(), values.ravel())


def _place(dashes, rasters):
    ends, angles = dashes[..., 0], dashes[..., 1]
    pixels, values = rasters
    return ends[..., np.newaxis] + pixels[angles], values[angles]


def _circle(radius):
    angles = np.arange(0, 2 * math.pi, 1 / radius)
    points = radius * np.stack([np.sin(angles), np.cos(angles)], axis=-1)
    return np.unique(np.rint(points).astype("int64"), axis=0)


def _turn_weights(angles, turns, continuity):
    delta = np.abs(angles[:, np.newaxis] - turns) % (2 * math.pi)
    delta = np.minimum(delta, 2 * math.pi - delta)
    return np.cos(np.minimum(continuity * delta, math.pi / 2)) ** 2
