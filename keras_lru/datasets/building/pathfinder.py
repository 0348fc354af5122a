"""Pathfinder of the Long Range Arena, as a TFDS builder."""

import dataclasses
import functools
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from keras_lru.datasets.building.fetched_files import (
    LRA_CITATION,
    LRA_HOMEPAGE,
    manual_dir,
)
from keras_lru.datasets.building.generated_builder import (
    SPLITS,
    GeneratedBuilder,
    GeneratedConfig,
)
from keras_lru.datasets.building.pathfinder_original import (
    INSTRUCTIONS,
    find_images,
    read_image,
)
from keras_lru.datasets.generating.pathfinder.example import draw_examples
from keras_lru.datasets.generating.pathfinder.spec import (
    CONTOUR_LENGTHS,
    SIZES,
    PathfinderSpec,
    pathfinder_spec,
)
from keras_lru.datasets.generating.seeding import seed_sequence


@dataclasses.dataclass(eq=False)
class PathfinderConfig(GeneratedConfig):
    """Which images, how many, and whether to generate them.

    Args:
        size: 32, 64, 128 (the task also called PathX) or 256.
        contour_length: Dashes of each long curve: 6, 9 or 14 (the benchmark's).
        single_dashes: Whether single dashes fill the space left.
        distractors: Whether there are shorter curves beside the two long ones.
        original: Whether to read the benchmark's own images from `manual_dir` instead
            of generating any: all there are, shuffled by `seed`, 80 % of them for
            training, 10 % for validation and 10 % for testing.
        **kwargs: As of `GeneratedConfig`.

    Raises:
        ValueError: If `size` or `contour_length` is not one of these, if `original`
            comes with a number of examples, with single dashes or without distractors,
            and as of `GeneratedConfig`.

    Example:
        >>> from keras_lru.datasets import PathfinderConfig
        >>> PathfinderConfig(size=64, seed=1).name
        'seed_1-size_64'
    """

    train_examples: int = 160_000
    validation_examples: int = 20_000
    test_examples: int = 20_000
    size: int = 32
    contour_length: int = 14
    single_dashes: bool = False
    distractors: bool = True
    original: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.spec()
        if self.original:
            sizes = (f"{split}_examples" for split in SPLITS)
            for name in (*sizes, "single_dashes", "distractors"):
                value = getattr(self, name)
                if value != getattr(PathfinderConfig, name):
                    raise ValueError(
                        f"`{name}` must be left alone if `original=True`: what is "
                        f"there is read. Received: {name}={value!r}"
                    )

    def spec(self) -> PathfinderSpec:
        """What the images are made of."""
        spec = pathfinder_spec(self.size, self.contour_length)
        changes: dict[str, Any] = {} if self.distractors else {"distractor_dashes": 0}
        return dataclasses.replace(spec, single_dashes=self.single_dashes, **changes)


class LraPathfinder(GeneratedBuilder):
    """Pathfinder: do two discs lie on the ends of one dashed curve?

    Args:
        config: A `PathfinderConfig`, or the name of one: `"32_14"` for 32 x 32 pixels,
            curves of 14 dashes; sizes are 32, 64, 128 and 256, curves have 6, 9 or 14
            dashes. `"…_original"` reads the benchmark's own files from `manual_dir`;
            `"32_6_plain"` and `"128_6_plain"` are without distractors.
        processes: Integer, the number of processes that compute examples. `None`: one
            for each usable core.
        **kwargs: TFDS's own: `data_dir`, `version`, `file_format`.

    Raises:
        ValueError: If `config` has the name of a prepared dataset with other settings,
            or `processes` is not a positive integer.

    References:
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006), the Long Range Arena.

    Example:
        >>> import tempfile
        >>> from keras_lru.datasets import LraPathfinder
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     builder = LraPathfinder(config="64_9", data_dir=folder)
        >>> builder.info.features["image"].shape
        (64, 64, 1)
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        PathfinderConfig(
            name=f"{size}_{contour_length}{'_original' if original else ''}",
            description=(
                f"{size} x {size} pixels, curves of {contour_length} dashes"
                f"{', from `manual_dir`' if original else ''}."
            ),
            size=size,
            contour_length=contour_length,
            original=original,
        )
        for original in (False, True)
        for size in SIZES
        for contour_length in reversed(CONTOUR_LENGTHS)
    ] + [
        PathfinderConfig(
            name=f"{size}_6_plain",
            description=f"{size} x {size} pixels, two curves of 6 dashes, few images.",
            size=size,
            contour_length=6,
            distractors=False,
            train_examples=train_examples,
            validation_examples=2_000,
            test_examples=2_000,
        )
        for size, train_examples in ((32, 40_000), (128, 16_000))
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = INSTRUCTIONS
    CHUNK_SIZE = 100

    def _info(self):
        size = self.builder_config.size
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Grey images of two long dashed curves, shorter ones as distractors, "
                "and two discs. Label 1: the discs lie on the ends of one long curve; "
                "label 0: on ends of two."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(
                        shape=(size, size, 1), encoding_format="png"
                    ),
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
            ),
            supervised_keys=("image", "label"),
            homepage=LRA_HOMEPAGE,
            citation=LRA_CITATION
            + "; Linsley et al., Learning long-range spatial dependencies with "
            "horizontal gated recurrent units, NeurIPS 2018, "
            "https://arxiv.org/abs/1805.08315",
            metadata=tfds.core.MetadataDict(self.builder_config.settings()),
        )

    def example_function(self, split):
        """Returns `draw_examples` with the config's settings."""
        config = self.builder_config
        return functools.partial(
            draw_examples, spec=config.spec(), seed=config.seed, split=split
        )

    def _split_generators(self, dl_manager):
        config = self.builder_config
        if not config.original:
            return super()._split_generators(dl_manager)
        images = find_images(manual_dir(dl_manager), config.size, config.contour_length)
        rng = np.random.default_rng(seed_sequence(config.seed, "original"))
        tenth = len(images) // 10
        order = rng.permutation(len(images))
        parts = np.split(order, [len(images) - 2 * tenth, len(images) - tenth])
        return {
            split: self._read_examples(images, part)
            for split, part in zip(SPLITS, parts, strict=True)
        }

    def _read_examples(self, images, indices):
        for index in indices.tolist():
            metadata, number, path, label = images[index]
            image = read_image(metadata, number, path, self.builder_config.size)
            yield index, {"image": image, "label": label}
