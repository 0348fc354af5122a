"""What the workers of the package's own data sets import."""

import functools

import pytest

from keras_lru.datasets import (
    CopyMemory,
    CopyMemoryConfig,
    ListOpsConfig,
    LraListops,
    LraPathfinder,
    PathfinderConfig,
)
from keras_lru.datasets.generating.parallel import generate

from .generators import loaded_modules, with_torch

LARGE = {"keras", "jax", "tensorflow", "tensorflow_datasets", "torch"}


@pytest.mark.parametrize(
    ("builder_class", "config", "imported"),
    [
        (LraListops, ListOpsConfig(max_size=600), "listops_trees"),
        (LraPathfinder, PathfinderConfig(size=32), "pathfinder.example"),
        (CopyMemory, CopyMemoryConfig(delay=5), "copy_sequences"),
    ],
)
def test_workers_import_neither_a_backend_nor_tfds(
    tmp_path, builder_class, config, imported
):
    builder = builder_class(data_dir=tmp_path / "data", config=config)
    draw = builder.example_function("train")
    examples = list(
        generate(
            functools.partial(loaded_modules, after=draw),
            2,
            tmp_path / "chunks",
            chunk_size=1,
            processes=2,
        )
    )
    for (example, modules), drawn in zip(examples, draw(range(2)), strict=True):
        assert str(example) == str(drawn)
        assert f"keras_lru.datasets.generating.{imported}" in modules
        assert not LARGE & {name.partition(".")[0] for name in modules}


def test_a_worker_that_has_one_of_them_is_seen(tmp_path):
    # The test above would be of no use if it could not fail.
    function = functools.partial(loaded_modules, after=with_torch)
    examples = generate(function, 2, tmp_path, chunk_size=1, processes=2)
    assert all("torch" in modules for _, modules in examples)
