"""Draw a page of images, the first of the training set, and write it as a PNG file."""

import argparse

import numpy as np
from PIL import Image

from keras_lru.datasets.generating.pathfinder.example import draw_example
from keras_lru.datasets.generating.pathfinder.spec import (
    CONTOUR_LENGTHS,
    SIZES,
    pathfinder_spec,
)
from keras_lru.datasets.generating.seeding import random_generator

ROWS, COLUMNS = 4, 8
_GAP = 4
_GAP_GREY = 96


def draw_page(spec, seed=0):
    """Draws the first 32 images of the training set on one `PIL.Image`.

    The four columns on the left have label 0, those on the right have label 1. Small
    images are magnified to 128 pixels.
    """
    zoom = max(1, 128 // spec.size)
    side = zoom * spec.size + _GAP
    page = np.full((ROWS * side + _GAP, COLUMNS * side + _GAP), _GAP_GREY, "uint8")
    for index in range(ROWS * COLUMNS):
        label = index % 2
        example = draw_example(spec, label, random_generator(seed, "train", index))
        row, column = divmod(index // 2, COLUMNS // 2)
        top = _GAP + row * side
        left = _GAP + (column + label * COLUMNS // 2) * side
        image = example.image.repeat(zoom, axis=0).repeat(zoom, axis=1)
        page[top : top + len(image), left : left + len(image)] = image
    return Image.fromarray(page)


def main(arguments=None):
    """Draw the page that the command line asks for."""
    parser = argparse.ArgumentParser(
        prog="python -m keras_lru.datasets.generating.pathfinder", description=__doc__
    )
    parser.add_argument("--size", type=int, choices=SIZES, default=32)
    parser.add_argument(
        "--contour-length", type=int, choices=CONTOUR_LENGTHS, default=14
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--page", required=True, help="the PNG file to write")
    args = parser.parse_args(arguments)
    spec = pathfinder_spec(args.size, args.contour_length)
    # 16 greys: half the bytes, no difference to the eye.
    draw_page(spec, args.seed).quantize(16).save(args.page, optimize=True)


if __name__ == "__main__":
    main()
