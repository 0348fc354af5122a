"""Datasets of the Long Range Arena and the copy memory task, for TFDS.

Importing this package registers them: `tfds.load("lra_listops")` then works, and so
do `"lra_aan"`, `"lra_pathfinder"` and `"copy_memory"`. `load` gives batches of the
benchmark's tasks, and of one's own.

`generating` computes examples, `building` makes TFDS datasets of them or of fetched
files, and `reading` gives batches of what is prepared.
"""

import importlib

import lazy_loader
import wrapt

# What is public stands in `__init__.pyi`, and is imported when it is asked for:
# processes that generate examples import neither Keras nor TFDS.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


@wrapt.when_imported("tensorflow_datasets")
def _register_builders(tfds):
    """Make the builders known to TFDS, as soon as it is there."""
    del tfds
    importlib.import_module(f"{__name__}.building")
