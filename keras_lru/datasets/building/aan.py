"""Document retrieval of the Long Range Arena, as a TFDS builder."""

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
from keras_lru.datasets.preparing import PreparesAlone

# The label may be written as a float.
_LABELS = {b"0": 0, b"1": 1, b"0.0": 0, b"1.0": 1}


class LraAan(PreparesAlone, tfds.core.GeneratorBasedBuilder):
    """Pairs of papers of the ACL Anthology Network: does one cite the other?

    The benchmark's files can't be downloaded by TFDS: `download_and_prepare` reads
    them from `manual_dir`. Arguments are TFDS's own: `data_dir`, `version`,
    `file_format`.

    Raises:
        FileNotFoundError: If a file is missing (at `download_and_prepare`): what to
            fetch, and where to put it.
        ValueError: If a file's rows are not the benchmark's, with file and line.

    References:
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006), the Long Range Arena.

    Example:
        >>> import tempfile
        >>> from keras_lru.datasets import LraAan
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     builder = LraAan(data_dir=folder)
        >>> sorted(builder.info.features)
        ['id1', 'id2', 'label', 'text1', 'text2']
    """

    VERSION = tfds.core.Version("1.0.0")
    MANUAL_DOWNLOAD_INSTRUCTIONS = lra_instructions(
        "new_aan_pairs.train.tsv, new_aan_pairs.eval.tsv and new_aan_pairs.test.tsv",
        "tsv_data",
    )
    # The split, the file's name for it, the number of pairs.
    FILES = (
        ("train", "train", 147_086),
        ("validation", "eval", 18_090),
        ("test", "test", 17_437),
    )

    def _info(self):
        text = tfds.features.Text()
        return tfds.core.DatasetInfo(
            builder=self,
            description=(
                "Pairs of papers of the ACL Anthology Network, labelled by whether "
                "one cites the other. Texts are the bytes of the published files, "
                "whole and as they stand there; the benchmark reads the first 4000."
            ),
            features=tfds.features.FeaturesDict(
                {
                    "id1": text,
                    "id2": text,
                    "text1": text,
                    "text2": text,
                    "label": tfds.features.ClassLabel(num_classes=2),
                }
            ),
            homepage=LRA_HOMEPAGE,
            citation=LRA_CITATION
            + "; Radev et al., The ACL Anthology Network Corpus, Language Resources "
            "and Evaluation, 2013, https://doi.org/10.1007/s10579-012-9211-2",
        )

    def _split_generators(self, dl_manager):
        paths = find_files(
            manual_dir(dl_manager),
            [f"new_aan_pairs.{name}.tsv" for _, name, _ in self.FILES],
            self.MANUAL_DOWNLOAD_INSTRUCTIONS,
        )
        return {
            split: self._generate_examples(path, rows)
            for (split, _, rows), path in zip(self.FILES, paths, strict=True)
        }

    def _generate_examples(self, path, rows):
        for number, (label, *texts) in read_tsv(path, columns=5, rows=rows):
            if label not in _LABELS:
                raise bad_line(path, number, "a label, 0 or 1", label)
            names = ("id1", "id2", "text1", "text2")
            example = dict(zip(names, texts, strict=True))
            yield number, {**example, "label": _LABELS[label]}
