"""The parameters of Pathfinder images, one set for each size of the benchmark."""

import dataclasses

from keras_lru.checks import check_choice

CONTOUR_LENGTHS = (6, 9, 14)


@dataclasses.dataclass(frozen=True)
class PathfinderSpec:
    """What a Pathfinder image is made of; lengths are in pixels.

    Args:
        size: Height and width of the image.
        margins: Free pixels kept around a dash; one value is drawn for each image.
        seed_distance: Distance between the starts of the two long curves.
        marker_radius: Radius of the two discs.
        dash_length: Length of a dash.
        thickness: Width of a dash.
        continuity: How straight curves are: a turn by the angle δ has the weight
            cos²(min(continuity · δ, π/2)).
        distractor_dashes: About how many dashes all distractor curves have together.
        curve_contrast: Brightness of the distractors; a disc has 1.
        dash_contrast: Brightness of the two long curves, relative to the distractors.
        padding: Width of the border that curves stay out of.
        contour_length: Number of dashes of each of the two long curves.
        antialias: How many times larger dashes and discs are drawn at first.
        single_dashes: Whether single dashes fill the space left.

    Raises:
        ValueError: If `contour_length` is below 3, or `seed_distance` not below a
            quarter of `size`.
    """

    size: int
    margins: tuple[int, ...]
    seed_distance: int
    marker_radius: float
    dash_length: int
    thickness: float
    continuity: float
    distractor_dashes: int
    curve_contrast: float
    dash_contrast: float = 1.0
    padding: int = 1
    contour_length: int = 14
    antialias: int = 2
    single_dashes: bool = False

    def __post_init__(self):
        if self.contour_length < 3:
            raise ValueError(
                "`contour_length` must be at least 3. "
                f"Received: contour_length={self.contour_length}"
            )
        if 4 * self.seed_distance >= self.size:
            raise ValueError(
                f"`seed_distance` must be below a quarter of size={self.size}. "
                f"Received: seed_distance={self.seed_distance}"
            )

    @property
    def distractor_length(self) -> int:
        """Number of dashes of a distractor: a third of the long curves'."""
        return self.contour_length // 3

    @property
    def num_distractors(self) -> int:
        """Number of distractor curves tried."""
        return self.distractor_dashes // self.distractor_length

    def max_dashes(self, margin: int) -> int:
        """Number of dashes that fill an image, single ones included."""
        return int(150 * 123.5 / (7.5 + 13 * margin + 4 * margin**2))


_SPECS = {
    32: PathfinderSpec(
        size=32,
        margins=(1,),
        seed_distance=7,
        marker_radius=1.5,
        dash_length=2,
        thickness=0.5,
        continuity=1.0,
        distractor_dashes=20,
        curve_contrast=2.0,
        dash_contrast=0.75,
    ),
    64: PathfinderSpec(
        size=64,
        margins=(1,),
        seed_distance=12,
        marker_radius=2.5,
        dash_length=5,
        thickness=1.0,
        continuity=1.8,
        distractor_dashes=22,
        curve_contrast=0.8,
    ),
    128: PathfinderSpec(
        size=128,
        margins=(2, 3),
        seed_distance=20,
        marker_radius=3.0,
        dash_length=5,
        thickness=1.5,
        continuity=1.8,
        distractor_dashes=35,
        curve_contrast=0.9,
    ),
    256: PathfinderSpec(
        size=256,
        margins=(3,),
        seed_distance=27,
        marker_radius=5.0,
        dash_length=5,
        thickness=2.0,
        continuity=1.8,
        distractor_dashes=30,
        curve_contrast=1.0,
        padding=22,
    ),
}
SIZES = tuple(_SPECS)


def pathfinder_spec(size: int = 32, contour_length: int = 14) -> PathfinderSpec:
    """Returns the benchmark's parameters for a size and a length of the curves.

    Args:
        size: 32, 64, 128 (the task also called PathX) or 256.
        contour_length: Dashes of each long curve: 6 ("easy"), 9 ("intermediate") or
            14 ("hard", the benchmark's).

    Returns:
        A `PathfinderSpec`; `dataclasses.replace` makes others of it.

    Raises:
        ValueError: If `size` or `contour_length` is not one of these.

    References:
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006).

    Example:
        >>> from keras_lru.datasets.generating.pathfinder import pathfinder_spec
        >>> spec = pathfinder_spec(32)
        >>> spec.num_distractors, spec.distractor_length
        (5, 4)
    """
    check_choice("size", size, SIZES)
    check_choice("contour_length", contour_length, CONTOUR_LENGTHS)
    return dataclasses.replace(_SPECS[size], contour_length=contour_length)
