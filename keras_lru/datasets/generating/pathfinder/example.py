"""Pathfinder images: two long dashed curves, distractors, and two discs."""

import dataclasses
import io
import math

import numpy as np
from PIL import Image

from keras_lru.checks import check_choice
from keras_lru.datasets.generating.pathfinder.crossings import solid_line
from keras_lru.datasets.generating.pathfinder.curves import long_curves, short_curve
from keras_lru.datasets.generating.pathfinder.dashes import DashTable, dash_table, paint
from keras_lru.datasets.generating.pathfinder.drawing import draw_capsule
from keras_lru.datasets.generating.pathfinder.spec import PathfinderSpec
from keras_lru.datasets.generating.seeding import random_generator


@dataclasses.dataclass(frozen=True)
class PathfinderExample:
    """An image, its label, and what is in it.

    Args:
        image: uint8, `(size, size)`.
        label: 1 if the discs lie on the ends of one curve, else 0.
        curves: The dashes of the two long curves, `(2, contour_length, 2)`.
        distractors: The dashes of each other curve.
        discs: The pixels of the two discs' middles.
        table: What tells where dashes and pixels lie.
    """

    image: np.ndarray
    label: int
    curves: np.ndarray
    distractors: list[np.ndarray]
    discs: np.ndarray
    table: DashTable


def draw_example(
    spec: PathfinderSpec, label: int, rng: np.random.Generator
) -> PathfinderExample:
    """Draws a Pathfinder image.

    Two curves of `spec.contour_length` dashes start `spec.seed_distance` apart and grow
    in turns; an image in which one of them runs into something is started over. Then
    come the distractors, as many as find room. One disc lies on the start of a long
    curve, the other on the end of the same or of the other one.

    Args:
        spec: What the image is made of.
        label: 1 for discs on one curve, 0 for discs on two.
        rng: The source of all randomness.

    Returns:
        A `PathfinderExample`, whose image spans 0 to 255.

    Raises:
        ValueError: If `label` is neither 0 nor 1, or if `spec` leaves no room for two
            long curves.

    References:
        [Linsley et al., 2018](https://arxiv.org/abs/1805.08315).

    Example:
        >>> import numpy as np
        >>> from keras_lru.datasets.generating.pathfinder import (
        ...     draw_example,
        ...     pathfinder_spec,
        ... )
        >>> rng = np.random.default_rng(0)
        >>> draw_example(pathfinder_spec(32), label=1, rng=rng).image.shape
        (32, 32)
    """
    check_choice("label", label, (0, 1))
    margin = int(rng.choice(spec.margins))
    table = dash_table(spec, margin)
    curves, taken = long_curves(table, rng)
    lengths = [spec.distractor_length] * spec.num_distractors
    if spec.single_dashes:
        room = spec.max_dashes(margin) - 2 * spec.contour_length - sum(lengths)
        lengths += [1] * room
    lines = np.concatenate([solid_line(table, curve) for curve in curves])
    distractors = []
    for length in lengths:
        curve = short_curve(table, taken, lines, length, rng)
        if curve is not None:
            distractors.append(curve)
            lines = np.concatenate([lines, solid_line(table, curve)])

    first = int(rng.integers(2))
    last = first if label else 1 - first
    discs = np.array([table.start(curves[first]), curves[last, -1, 0]])
    image = _draw(table, curves, distractors, discs)
    return PathfinderExample(image, label, curves, distractors, discs, table)


def draw_examples(
    indices: range, spec: PathfinderSpec, seed: int, split: str
) -> list[dict]:
    """The Pathfinder examples of a range of indices.

    Args:
        indices: The examples' numbers in the split. Odd ones have label 1.
        spec: What the images are made of.
        seed: Integer of at least 0, the dataset's seed.
        split: Name of the split.

    Returns:
        A list of dictionaries: `"image"`, a PNG file's bytes, and `"label"`.

    Example:
        >>> from keras_lru.datasets.generating.pathfinder import (
        ...     draw_examples,
        ...     pathfinder_spec,
        ... )
        >>> examples = draw_examples(range(4), pathfinder_spec(32), 0, "train")
        >>> [example["label"] for example in examples]
        [0, 1, 0, 1]
    """
    examples = []
    for index in indices:
        label = index % 2
        rng = random_generator(seed, split, index)
        image = draw_example(spec, label, rng).image
        examples.append({"image": _png(image), "label": label})
    return examples


def _draw(table, curves, distractors, discs):
    spec = table.spec
    layers = np.zeros((3, table.layer_size), "uint8")
    table.draw(layers[0], curves)
    for curve in distractors:
        table.draw(layers[1], curve)
    reach = math.ceil(spec.marker_radius) + 1
    disc = draw_capsule(0, 0, spec.marker_radius, reach, spec.antialias)
    pixels, values = table.lit_pixels(disc)
    for middle in discs:
        paint(layers[2], middle + pixels, values)
    contrasts = [spec.curve_contrast * spec.dash_contrast, spec.curve_contrast, 1]
    images = [
        contrast * table.crop(layer)
        for contrast, layer in zip(contrasts, layers, strict=True)
    ]
    image = np.max(images, axis=0)
    return np.rint(image * (255 / image.max())).astype("uint8")


def _png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()
