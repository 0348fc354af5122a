"""Base class of TFDS builders whose examples are generated."""

import abc
import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable

import tensorflow_datasets as tfds

from keras_lru.checks import check_non_negative_integer, check_positive_integer
from keras_lru.datasets.generating.parallel import generate
from keras_lru.datasets.preparing import PreparesAlone, local_root, locked

SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(eq=False)
class GeneratedConfig(tfds.core.BuilderConfig):
    """How many examples to generate, and from which seed.

    Args:
        name: The config's name, and that of the folder with the prepared data.
            Defaults to one made of all arguments that are not at their defaults.
        train_examples: Integer, the number of examples of the split `"train"`.
        validation_examples: Integer, that of `"validation"`.
        test_examples: Integer, that of `"test"`.
        seed: Integer of at least 0. Example i of a split depends on the seed, the
            split and i alone: a smaller dataset is the beginning of a larger one.

    Raises:
        ValueError: If a number of examples is not a positive integer, or `seed` not an
            integer of at least 0.
    """

    # BuilderConfig's has no default.
    name: str = ""
    train_examples: int = 96_000
    validation_examples: int = 2_000
    test_examples: int = 2_000
    seed: int = 0

    def __post_init__(self):
        for split in SPLITS:
            check_positive_integer(f"{split}_examples", self.num_examples(split))
        check_non_negative_integer("seed", self.seed)
        if not self.name:
            defaults = {field.name: field.default for field in dataclasses.fields(self)}
            self.name = "-".join(
                f"{name}_{value}"
                for name, value in self.settings().items()
                if value != defaults[name]
            )
        self.name = self.name or "default"

    def num_examples(self, split: str) -> int:
        """The number of examples of `split`."""
        return getattr(self, f"{split}_examples")

    def settings(self) -> dict:
        """All that tells the data of this config from those of others."""
        general = {field.name for field in dataclasses.fields(tfds.core.BuilderConfig)}
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in general
        }


class GeneratedBuilder(
    PreparesAlone,
    tfds.core.GeneratorBasedBuilder,
    skip_registration=True,  # type: ignore[call-arg]
):
    """A dataset that is computed, in parallel, and resumed if killed.

    Subclasses have configs of the class `GeneratedConfig`, return the function that
    computes examples from `example_function`, and put
    `tfds.core.MetadataDict(self.builder_config.settings())` into their info.

    Finished chunks lie in a folder `generated_…` beside the prepared data, which TFDS
    moves to its place when it is complete. Then the chunks are deleted.

    Args:
        config: A `GeneratedConfig`, or the name of one of the builder's.
        processes: Integer, the number of processes that compute examples. Defaults to
            `None`: one per usable core.
        **kwargs: TFDS's own: `data_dir`, `version`, `file_format`.

    Raises:
        ValueError: If `config` has the name of a prepared dataset with other settings,
            or `processes` is not a positive integer.
    """

    # As many examples as take a second or so.
    CHUNK_SIZE = 1000

    def __init__(self, *, config=None, processes: int | None = None, **kwargs):
        # TFDS refuses a copy of one of its configs.
        preset = self.builder_configs.get(getattr(config, "name", None))
        if preset is not None and preset.settings() == config.settings():
            config = preset
        super().__init__(config=config, **kwargs)
        if processes is not None:
            check_positive_integer("processes", processes)
        self._processes = processes
        self._check_settings()

    def _check_settings(self):
        wanted, found = self.builder_config.settings(), dict(self.info.metadata)
        if found != wanted:
            raise ValueError(
                "`config` must have a name of its own: "
                f"{self.data_dir} holds a dataset with other settings, {found}. "
                f"Received: name={self.builder_config.name!r} with {wanted}"
            )

    @abc.abstractmethod
    def example_function(self, split: str) -> Callable[[range], Iterable[dict]]:
        """The `function` of `generate` that computes the examples of `split`."""

    def _split_generators(self, dl_manager):
        del dl_manager
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        examples = generate(
            self.example_function(split),
            self.builder_config.num_examples(split),
            self._cache / split,
            chunk_size=self.CHUNK_SIZE,
            processes=self._processes,
            description=f"{self.name}/{self.builder_config.name}, {split}",
        )
        yield from enumerate(examples)

    def download_and_prepare(self, **options):
        """As TFDS's; what another process has prepared meanwhile is taken."""
        super().download_and_prepare(**options)
        self._check_settings()

    def _download_and_prepare(self, dl_manager, download_config):
        # Datasets of other sizes have the same chunks.
        cache = self._cache
        with locked(cache.with_name(f".{cache.name}.lock"), self.info.full_name):
            super()._download_and_prepare(dl_manager, download_config)
            shutil.rmtree(cache, ignore_errors=True)
        # TFDS cleans up after an error, but not if it was killed.
        prepared = self.data_path
        for path in prepared.parent.glob(f"incomplete.*_{self.version}"):
            if path != prepared:
                path.rmtree()

    @property
    def _cache(self):
        """Where finished chunks lie: a local folder, told apart by all but counts."""
        settings = self.builder_config.settings()
        for split in SPLITS:
            del settings[f"{split}_examples"]
        text = json.dumps([self.name, settings], sort_keys=True)
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        return local_root(self) / self.name / f"generated_{self.version}_{digest}"
