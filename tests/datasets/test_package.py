import subprocess
import sys

import pytest
import tensorflow_datasets as tfds

import keras_lru.datasets  # noqa: F401
from keras_lru.datasets.generating.pathfinder import PathfinderSpec

NAMES = {"copy_memory", "lra_aan", "lra_listops", "lra_pathfinder"}


def printed(code):
    """What the code prints in an interpreter of its own."""
    process = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True
    )
    return process.stdout.splitlines()


def test_importing_registers_the_builders():
    assert set(tfds.list_builders()) >= NAMES


@pytest.mark.parametrize(
    "imports",
    [
        "import keras_lru.datasets, tensorflow_datasets as tfds",
        "import tensorflow_datasets as tfds, keras_lru.datasets",
        # Half imported when TFDS is.
        "import keras_lru.datasets.building.aan, tensorflow_datasets as tfds",
    ],
)
def test_builders_are_registered_whatever_is_imported_first(imports):
    # Those of others are looked up in files, for seconds.
    listed = "tfds.list_builders(with_community_datasets=False)"
    assert set(printed(f"{imports}\nprint(*{listed}, sep='\\n')")) >= NAMES


def test_what_is_known_without_tfds_is_had_without_it():
    code = """
import sys
sys.modules["tensorflow_datasets"] = None
from keras_lru.datasets import TASKS, Task, get_task
print(get_task("text").dataset)
import keras_lru.datasets.generating.parallel
print(*sys.modules.keys() & {"keras", "jax", "tensorflow", "torch"})
"""
    assert printed(code) == ["imdb_reviews", ""]


def test_without_tfds_says_what_to_install():
    code = """
import sys
sys.modules["tensorflow_datasets"] = None
import keras_lru.datasets
for name in ("load", "num_examples", "LraAan", "ListOpsConfig"):
    try:
        getattr(keras_lru.datasets, name)
    except ImportError as error:
        print(error)
"""
    messages = printed(code)
    assert len(messages) == 4
    assert all('pip install "keras-lru[datasets]"' in line for line in messages)


def test_pathfinder_is_found_where_it_was_with_a_warning():
    from keras_lru.datasets import pathfinder

    with pytest.warns(DeprecationWarning, match=r"generating\.pathfinder"):
        assert pathfinder.PathfinderSpec is PathfinderSpec
