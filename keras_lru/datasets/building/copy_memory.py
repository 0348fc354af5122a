"""The copy memory task, as a TFDS builder."""

import dataclasses
import functools
from typing import ClassVar

import numpy as np
import tensorflow_datasets as tfds

from keras_lru.checks import check_positive_integer
from keras_lru.datasets.building.generated_builder import (
    GeneratedBuilder,
    GeneratedConfig,
)
from keras_lru.datasets.generating.copy_sequences import COPIED, draw_sequences


@dataclasses.dataclass(eq=False)
class CopyMemoryConfig(GeneratedConfig):
    """For how long to remember.

    Args:
        delay: Positive integer, the number of steps from the last symbol to the
            delimiter, after which the symbols are to be repeated.
        **kwargs: As of `GeneratedConfig`.

    Raises:
        ValueError: If `delay` is not a positive integer, and as of `GeneratedConfig`.

    Example:
        >>> from keras_lru.datasets import CopyMemoryConfig
        >>> CopyMemoryConfig(delay=500).name
        'delay_500'
    """

    train_examples: int = 50_000
    validation_examples: int = 1_000
    test_examples: int = 1_000
    delay: int = 1_000

    def __post_init__(self):
        super().__post_init__()
        check_positive_integer("delay", self.delay)


class CopyMemory(GeneratedBuilder):
    """Copy memory: repeat ten symbols after a long delay.

    Args:
        config: A `CopyMemoryConfig`, or the name of one: `"delay_100"`, `"delay_200"`,
            `"delay_500"`, `"default"` (1 000 steps) or `"delay_2000"`.
        processes: Integer, the number of processes that compute examples. `None`: one
            for each usable core.
        **kwargs: TFDS's own: `data_dir`, `version`, `file_format`.

    Raises:
        ValueError: If `config` has the name of a prepared dataset with other settings,
            or `processes` is not a positive integer.

    References:
        [Arjovsky et al., 2016](https://arxiv.org/abs/1511.06464), section 5.1.

    Example:
        >>> import tempfile
        >>> from keras_lru.datasets import CopyMemory
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     builder = CopyMemory(data_dir=folder)
        >>> builder.info.features["inputs"].shape
        (1020,)
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        CopyMemoryConfig(
            description=f"{delay} steps from the last symbol to the delimiter.",
            delay=delay,
        )
        for delay in (1_000, 100, 200, 500, 2_000)
    ]
    CHUNK_SIZE = 5_000

    def _info(self):
        sequence = tfds.features.Tensor(
            shape=(self.builder_config.delay + 2 * COPIED,),
            dtype=np.uint8,
            # Nearly all blanks.
            encoding="zlib",
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Ten symbols from 0 to 7, then blanks (8), a delimiter (9) and ten "
                "blanks; the targets, one a step, are blanks until the last ten steps, "
                "which repeat the symbols."
            ),
            features=tfds.features.FeaturesDict(
                {"inputs": sequence, "targets": sequence}
            ),
            supervised_keys=("inputs", "targets"),
            homepage="https://arxiv.org/abs/1511.06464",
            citation=(
                "Arjovsky, Shah and Bengio, Unitary Evolution Recurrent Neural "
                "Networks, ICML 2016, https://arxiv.org/abs/1511.06464"
            ),
            metadata=tfds.core.MetadataDict(self.builder_config.settings()),
        )

    def example_function(self, split):
        """Returns `draw_sequences` with the config's settings."""
        config = self.builder_config
        return functools.partial(
            draw_sequences, delay=config.delay, seed=config.seed, split=split
        )
