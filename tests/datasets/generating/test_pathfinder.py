import dataclasses
import functools
import io

import numpy as np
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from keras_lru.datasets.generating.pathfinder import (
    curves,
    draw_example,
    draw_examples,
    pathfinder_spec,
)
from keras_lru.datasets.generating.pathfinder.__main__ import draw_page, main
from keras_lru.datasets.generating.pathfinder.crossings import meet, solid_line
from keras_lru.datasets.generating.pathfinder.drawing import draw_capsule, draw_dash
from keras_lru.datasets.generating.seeding import random_generator

SPECS = [(32, 14), (32, 9), (32, 6), (64, 14), (64, 6), (128, 14), (256, 14), (256, 6)]
each_spec = pytest.mark.parametrize(("size", "contour_length"), SPECS)


@functools.cache
def examples(size, contour_length, number=8):
    """Examples with the labels 0, 1, 0, 1, ..."""
    spec = pathfinder_spec(size, contour_length)
    generators = [random_generator(0, "test", index) for index in range(number)]
    return [draw_example(spec, i % 2, rng) for i, rng in enumerate(generators)]


def all_curves(example):
    return [*example.curves, *example.distractors]


def layers(example, paint):
    """What `paint(canvas, curve)` leaves of each curve alone, `(curves, n, n)`."""
    table = example.table
    images = []
    for curve in all_curves(example):
        canvas = np.zeros(2 * table.layer_size, "uint8")
        paint(canvas, curve)
        images.append(table.crop(canvas).astype(int))
    return np.stack(images)


def flood(example):
    """Numbers of the connected parts of all curves, drawn solid, under both discs."""
    table = example.table
    scale = 1024 // table.spec.size

    def magnify(position):
        row, column = (position + 0.5) * scale
        return column, row

    canvas = Image.new("L", (1024, 1024))
    pen = ImageDraw.Draw(canvas)
    for curve in all_curves(example):
        for start, end in solid_line(table, curve):
            pen.line([magnify(start), magnify(end)], fill=1)
    parts, _ = ndimage.label(np.asarray(canvas), structure=np.ones((3, 3)))
    columns, rows = np.rint(
        np.transpose([*map(magnify, table.positions(example.discs))])
    )
    return parts[rows.astype(int), columns.astype(int)]


@each_spec
def test_flood_from_one_disc_reaches_the_other_if_the_label_says_so(
    size, contour_length
):
    for example in examples(size, contour_length):
        first, second = flood(example)
        assert first > 0
        assert second > 0
        assert (first == second) == example.label


@each_spec
def test_discs_lie_on_ends_of_the_curves_that_the_label_says(size, contour_length):
    for example in examples(size, contour_length):
        starts = [example.table.start(curve) for curve in example.curves]
        ends = [curve[-1, 0] for curve in example.curves]
        first = starts.index(example.discs[0])
        last = ends.index(example.discs[1])
        assert (first == last) == example.label


@each_spec
def test_discs_are_drawn_where_they_are_said_to_lie(size, contour_length):
    for example in examples(size, contour_length):
        radius = example.table.spec.marker_radius
        disc = draw_capsule(0, 0, radius, reach=int(radius), antialias=2) > 200
        image = np.pad(example.image, int(radius))
        for row, column in example.table.positions(example.discs):
            around = image[row : row + len(disc), column : column + len(disc)]
            # At size 32 the distractors are brighter than the discs.
            assert around[disc].min() > (120 if size == 32 else 190)


@each_spec
def test_curves_do_not_overlap(size, contour_length):
    for example in examples(size, contour_length):
        drawn = np.sort(layers(example, example.table.draw), axis=0)
        taken = np.sort(layers(example, example.table.take), axis=0)
        assert drawn[-1].max() > 100
        # Soft edges may meet: never half of two dashes in one pixel.
        assert drawn[-2].max() < 128
        assert (taken[-1] + taken[-2]).max() < 1.8 * 255


@each_spec
def test_curves_stay_off_the_border(size, contour_length):
    for example in examples(size, contour_length):
        spec = example.table.spec
        for curve in all_curves(example):
            positions = example.table.positions(curve[:, 0])
            assert positions.min() >= spec.padding
            assert positions.max() < spec.size - spec.padding


@each_spec
def test_long_curves_start_in_the_middle_and_apart(size, contour_length):
    for example in examples(size, contour_length):
        spec = example.table.spec
        starts = [example.table.start(curve) for curve in example.curves]
        first, second = example.table.positions(np.array(starts))
        assert first.min() >= 2 * spec.seed_distance
        assert first.max() < spec.size - 2 * spec.seed_distance
        assert abs(np.hypot(*(first - second)) - spec.seed_distance) < 1


@each_spec
def test_dashes_follow_one_another_without_sharp_turns(size, contour_length):
    for example in examples(size, contour_length):
        table = example.table
        spec = table.spec
        assert example.curves.shape == (2, contour_length, 2)
        for curve in all_curves(example):
            angles = table.angles[curve[:, 1]]
            turns = np.abs(np.angle(np.exp(1j * np.diff(angles))))
            assert turns.max() < np.pi / 2 / spec.continuity + 1e-9
            # From the end of a dash: a margin on, then a margin and a dash.
            directions = np.stack([np.sin(angles), np.cos(angles)], axis=-1)
            steps = np.diff(table.positions(curve[:, 0]), axis=0)
            expected = table.margin * directions[:-1] + (
                (spec.dash_length + table.margin) * directions[1:]
            )
            assert np.abs(steps - expected).max() <= 1.2


@each_spec
def test_distractors_are_a_third_as_long(size, contour_length):
    spec = pathfinder_spec(size, contour_length)
    numbers = []
    for example in examples(size, contour_length):
        assert all(len(curve) == contour_length // 3 for curve in example.distractors)
        numbers.append(len(example.distractors))
    assert max(numbers) == spec.num_distractors
    assert np.mean(numbers) > 0.6 * spec.num_distractors


@pytest.mark.parametrize(
    ("size", "contour_length", "mean", "lit"),
    [
        (32, 6, 19.4, 0.115),
        (32, 14, 24.2, 0.152),
        (64, 14, 14.5, 0.088),
        (128, 14, 7.3, 0.039),
        (256, 14, 2.8, 0.0134),
    ],
)
def test_pixel_statistics(size, contour_length, mean, lit):
    images = np.stack([example.image for example in examples(size, contour_length)])
    assert images.dtype == np.uint8
    assert images.shape[1:] == (size, size)
    np.testing.assert_array_equal(images.min(axis=(1, 2)), 0)
    np.testing.assert_array_equal(images.max(axis=(1, 2)), 255)
    np.testing.assert_allclose(images.mean(), mean, rtol=0.1)
    np.testing.assert_allclose((images > 64).mean(), lit, rtol=0.1)


def test_label_does_not_show_in_the_number_of_lit_pixels():
    def lit(label):
        spec = pathfinder_spec(32)
        generators = (random_generator(1, "train", i) for i in range(60))
        return [(draw_example(spec, label, rng).image > 64).sum() for rng in generators]

    # The same curves with other ends marked.
    difference = np.subtract(lit(1), lit(0))
    assert abs(difference.mean()) < 3


def test_both_margins_are_drawn_at_size_128():
    assert {example.table.margin for example in examples(128, 14)} == {2, 3}


def test_distractors_are_brighter_than_long_curves_at_size_32():
    example = examples(32, 14)[0]
    drawn = layers(example, example.table.draw)
    long, short = drawn[:2].max(axis=0), drawn[2:].max(axis=0)
    ratios = []
    for layer, other in ((long, short), (short, long)):
        alone = (layer > 90) & (other == 0) & (example.image < 240)
        ratios.append(np.median(example.image[alone] / layer[alone]))
    np.testing.assert_allclose(ratios[0] / ratios[1], 0.75, rtol=0.02)


def test_single_dashes_fill_the_space_left():
    spec = dataclasses.replace(pathfinder_spec(32), single_dashes=True)
    example = draw_example(spec, 1, np.random.default_rng(0))
    singles = [curve for curve in example.distractors if len(curve) == 1]
    assert len(singles) > 5
    assert 28 + sum(map(len, example.distractors)) <= spec.max_dashes(1) == 756
    assert example.image.mean() > examples(32, 14)[0].image.mean()


def test_example_depends_on_seed_split_and_index_alone():
    draw = functools.partial(draw_examples, spec=pathfinder_spec(32))
    several = draw(range(6), seed=0, split="train")
    assert draw(range(4, 6), seed=0, split="train") == several[4:]
    others = [
        *draw(range(4, 5), seed=1, split="train"),
        *draw(range(4, 5), seed=0, split="test"),
    ]
    images = {example["image"] for example in [*several, *others]}
    assert len(images) == 8


def test_examples_are_png_files_with_balanced_labels():
    spec = pathfinder_spec(32)
    drawn = draw_examples(range(10, 20), spec, 3, "validation")
    assert sum(example["label"] for example in drawn) == 5
    image = Image.open(io.BytesIO(drawn[3]["image"]))
    assert (image.format, image.mode, image.size) == ("PNG", "L", (32, 32))
    expected = draw_example(spec, 1, random_generator(3, "validation", 13)).image
    np.testing.assert_array_equal(np.asarray(image), expected)


@pytest.mark.parametrize("angle", [0, np.pi / 2, np.pi, -np.pi / 2])
def test_dash_ends_in_the_middle(angle):
    raster = draw_dash(angle, length=5, thickness=1.5, reach=7, antialias=2)
    rows, columns = np.nonzero(raster > 128)
    along = (rows - 7) * np.sin(angle) + (columns - 7) * np.cos(angle)
    np.testing.assert_allclose([along.min(), along.max()], [-5, 0], atol=1e-9)
    np.testing.assert_allclose(raster.sum() / 255, 5 * 1.5, rtol=0.25)


def test_disc_is_a_capsule_without_length():
    raster = draw_capsule(0, 0, radius=5, reach=6, antialias=2).astype(float)
    for mirrored in (raster.T, raster[::-1], raster[:, ::-1]):
        np.testing.assert_allclose(raster, mirrored, atol=4)
    np.testing.assert_allclose(raster.sum() / 255, np.pi * 25, rtol=0.05)


@pytest.mark.parametrize(
    ("segment", "other", "expected"),
    [
        ([[0, 0], [4, 4]], [[0, 4], [4, 0]], True),
        ([[0, 0], [4, 4]], [[2, 2], [5, 0]], True),
        ([[0, 0], [4, 4]], [[4, 4], [8, 0]], True),
        ([[0, 0], [4, 4]], [[1, 0], [4, 3]], False),
        ([[0, 0], [4, 4]], [[5, 4], [3, 0]], False),
        ([[0, 0], [0, 4]], [[0, 3], [0, 9]], True),
        ([[0, 0], [0, 4]], [[0, 5], [0, 9]], False),
    ],
    ids=["cross", "T", "end to end", "parallel", "beside", "on one line", "apart"],
)
def test_segments_meet(segment, other, expected):
    far = [[20, 20], [30, 20]]
    for first, second in ((segment, other), (other, segment)):
        assert meet(np.array([first, far]), np.array([second])) is expected


@pytest.mark.parametrize("size", [0, 28, "32", None])
def test_refuses_a_size(size):
    with pytest.raises(ValueError, match=r"`size` must be one of .* Received: size="):
        pathfinder_spec(size)


def test_refuses_a_contour_length():
    with pytest.raises(ValueError, match=r"`contour_length` must be one of"):
        pathfinder_spec(32, 7)


@pytest.mark.parametrize(
    ("name", "value"), [("contour_length", 2), ("seed_distance", 8)]
)
def test_spec_refuses(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        dataclasses.replace(pathfinder_spec(32), **{name: value})


def test_refuses_a_spec_without_room_for_the_curves(monkeypatch):
    monkeypatch.setattr(curves, "_MOST_BATCHES", 5)
    spec = dataclasses.replace(pathfinder_spec(32), contour_length=100)
    with pytest.raises(ValueError, match=r"`spec` must leave room .* Received: spec="):
        draw_example(spec, 0, np.random.default_rng(0))


def test_refuses_a_label():
    with pytest.raises(ValueError, match=r"`label` must be one of \(0, 1\)"):
        draw_example(pathfinder_spec(32), 2, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("size", "distractors"), [(32, (5, 4)), (64, (5, 4)), (128, (8, 4)), (256, (7, 4))]
)
def test_spec_has_the_benchmark_s_distractors(size, distractors):
    spec = pathfinder_spec(size)
    assert (spec.num_distractors, spec.distractor_length) == distractors


def test_page_shows_label_0_on_the_left_and_1_on_the_right():
    spec = pathfinder_spec(32)
    page = np.asarray(draw_page(spec, seed=5))
    assert page.shape == (4 * 132 + 4, 8 * 132 + 4)
    for index, (top, left) in {0: (4, 4), 1: (4, 532), 31: (400, 928)}.items():
        image = page[top : top + 128 : 4, left : left + 128 : 4]
        rng = random_generator(5, "train", index)
        np.testing.assert_array_equal(image, draw_example(spec, index % 2, rng).image)


def test_command_line_writes_a_page(tmp_path):
    path = tmp_path / "page.png"
    main(["--size", "32", "--contour-length", "6", "--page", str(path)])
    with Image.open(path) as page:
        assert page.size == (8 * 132 + 4, 4 * 132 + 4)
    assert path.stat().st_size < 50_000
