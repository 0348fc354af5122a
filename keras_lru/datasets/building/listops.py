"""ListOps of the Long Range Arena, as a TFDS builder."""

import dataclasses
import functools
import hashlib
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from keras_lru.datasets.building.fetched_files import (
    LRA_CITATION,
    LRA_HOMEPAGE,
    bad_line,
    find_files,
    lra_instructions,
    manual_dir,
    read_tsv,
)
from keras_lru.datasets.building.generated_builder import (
    SPLITS,
    GeneratedBuilder,
    GeneratedConfig,
)
from keras_lru.datasets.generating.listops_trees import (
    VOCABULARY,
    TreeSpec,
    draw_trees,
    parse_tree,
)

_MAX_DRAWS = 1000
# In the order of the splits.
_FILES = ("basic_train.tsv", "basic_val.tsv", "basic_test.tsv")
_LABELS = {str(label).encode() for label in range(10)}


@dataclasses.dataclass(eq=False)
class ListOpsConfig(GeneratedConfig):
    """Which trees, how many, and whether to generate them.

    Args:
        max_depth: As of `TreeSpec`.
        max_arguments: As of `TreeSpec`.
        min_size: As of `TreeSpec`.
        max_size: As of `TreeSpec`.
        original: Whether to read the benchmark's own files from `manual_dir`, with as
            many rows as there are examples, instead of generating trees.
        **kwargs: As of `GeneratedConfig`.

    Raises:
        ValueError: As of `TreeSpec` and `GeneratedConfig`.

    Example:
        >>> from keras_lru.datasets import ListOpsConfig
        >>> ListOpsConfig(train_examples=1000, seed=1).name
        'train_examples_1000-seed_1'
    """

    max_depth: int = 10
    max_arguments: int = 10
    min_size: int = 500
    max_size: int = 2000
    original: bool = False

    def __post_init__(self):
        super().__post_init__()
        self.tree_spec()

    def tree_spec(self) -> TreeSpec:
        """Which trees are kept."""
        fields = dataclasses.fields(TreeSpec)
        return TreeSpec(**{field.name: getattr(self, field.name) for field in fields})


_SHORT_TREES: dict[str, Any] = {
    "max_depth": 5,
    "max_arguments": 5,
    "min_size": 20,
    "max_size": 100,
}


class LraListops(GeneratedBuilder):
    """ListOps: what is the value of a nested expression?

    No tree comes twice, in all splits together: one that has come before is drawn
    again. That never happens at the benchmark's sizes, but with short trees the
    last splits may depend on the number of examples of the first.

    Args:
        config: A `ListOpsConfig`, or the name of one: `"default"`, `"tiny"`, `"short"`,
            `"original"`.
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
        >>> from keras_lru.datasets import LraListops
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     builder = LraListops(config="short", data_dir=folder)
        >>> builder.builder_config.train_examples
        30000
    """

    VERSION = tfds.core.Version("1.0.0")
    BUILDER_CONFIGS: ClassVar = [
        ListOpsConfig(description="The benchmark's sizes."),
        ListOpsConfig(
            name="tiny",
            description="Few short trees, for a look on a CPU.",
            train_examples=2_000,
            validation_examples=500,
            test_examples=500,
            **_SHORT_TREES,
        ),
        ListOpsConfig(
            name="short",
            description="Short trees, enough to train on: minutes on a CPU.",
            train_examples=30_000,
            **_SHORT_TREES,
        ),
        ListOpsConfig(
            name="original",
            description="The benchmark's own files, from `manual_dir`.",
            original=True,
        ),
    ]
    MANUAL_DOWNLOAD_INSTRUCTIONS = "For the config `original` alone. " + (
        lra_instructions(", ".join(_FILES), "listops-1000")
    )

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Nested expressions of the operators MIN, MAX, MED (median, rounded "
                "down) and SM (sum modulo 10) over digits, with their values. Tokens "
                f"are numbers of the vocabulary {' '.join(VOCABULARY)}; the binary "
                "parentheses of the published files are left out, as the benchmark "
                "leaves them out. There is no end-of-sequence token."
            ),
            features=tfds.features.FeaturesDict(
                {
                    # A byte a token: 100 MB in all, a third of what the text takes.
                    "tokens": tfds.features.Tensor(
                        shape=(None,), dtype=np.uint8, encoding="bytes"
                    ),
                    "label": tfds.features.ClassLabel(num_classes=10),
                }
            ),
            supervised_keys=("tokens", "label"),
            homepage=LRA_HOMEPAGE,
            citation=LRA_CITATION
            + "; Nangia and Bowman, ListOps: A Diagnostic Dataset for Latent Tree "
            "Learning, NAACL 2018, https://arxiv.org/abs/1804.06028",
            metadata=tfds.core.MetadataDict(self.builder_config.settings()),
        )

    def example_function(self, split):
        """Returns `draw_trees` with the config's settings."""
        config = self.builder_config
        return functools.partial(
            draw_trees, spec=config.tree_spec(), seed=config.seed, split=split
        )

    def _split_generators(self, dl_manager):
        if not self.builder_config.original:
            self._digests = set()
            return super()._split_generators(dl_manager)
        paths = find_files(
            manual_dir(dl_manager), _FILES, self.MANUAL_DOWNLOAD_INSTRUCTIONS
        )
        return {
            split: self._read_examples(path, self.builder_config.num_examples(split))
            for split, path in zip(SPLITS, paths, strict=True)
        }

    def _generate_examples(self, split):
        # TFDS takes the splits one after the other, in their order.
        for index, example in super()._generate_examples(split):
            yield index, self._first_unseen(example, split, index)

    def _first_unseen(self, example, split, index):
        """`example`, or the first other draw of it that differs from all before."""
        for draw in range(1, _MAX_DRAWS + 1):
            digest = hashlib.blake2b(example["tokens"], digest_size=16).digest()
            if digest not in self._digests:
                self._digests.add(digest)
                return example
            (example,) = self.example_function(split)(
                range(index, index + 1), draw=draw
            )
        raise ValueError(
            f"`config` must allow for more different trees: {_MAX_DRAWS} draws gave "
            f"none that is not among {len(self._digests)} others. "
            f"Received: config={self.builder_config}"
        )

    def _read_examples(self, path, rows):
        lines = read_tsv(path, columns=2, rows=rows, header=[b"Source", b"Target"])
        for number, (source, target) in lines:
            try:
                tokens = parse_tree(source)
            except ValueError as error:
                raise bad_line(path, number, "a whole expression", source) from error
            if target not in _LABELS:
                raise bad_line(path, number, "a label from 0 to 9", target)
            yield number, {"tokens": tokens, "label": int(target)}
