"""What to do to get a dataset, in a sentence."""

import os
import shlex

from tensorflow_datasets.core import read_only_builder

WRITE_AGAIN = "Write it again, as it was written before."
"""For datasets that TFDS has no code for."""


def how_to_prepare(builder, root: str | os.PathLike | None = None) -> str:
    """Names the command that prepares a dataset.

    Args:
        builder: A TFDS builder.
        root: The folder of all datasets. Defaults to the builder's.

    Returns:
        A sentence or two.
    """
    root = str(builder.data_dir_root if root is None else root)
    if isinstance(builder, read_only_builder.ReadOnlyBuilder):
        return WRITE_AGAIN
    config = getattr(builder.builder_config, "name", None)
    if not type(builder).__module__.startswith("keras_lru."):
        name = f"{builder.name}/{config}" if config else builder.name
        return (
            f"`tfds.load({name!r}, data_dir={root!r})` downloads "
            "and prepares it, and so does `download=True`."
        )
    if config is not None and config not in builder.builder_configs:
        return "`download=True` prepares it."
    words = [f"python -m keras_lru.datasets {builder.name}"]
    words += [f"--config {config}"] if config else []
    command = " ".join([*words, "--data-dir", shlex.quote(root)])
    manual = builder.MANUAL_DOWNLOAD_INSTRUCTIONS
    manual = f" {manual}" if manual else ""
    return f"`{command}` prepares it, and so does `download=True`.{manual}"
