"""A folder for a SavedModel that is written whole or not at all."""

import contextlib
import errno
import os
import shutil
import tempfile
from pathlib import Path

# A folder without it is no SavedModel.
_GRAPH = "saved_model.pb"


@contextlib.contextmanager
def atomic_folder(path):
    """A folder to write a SavedModel into, which takes the place of `path` at the end.

    Whatever goes wrong before, Ctrl-C and a full disk included, `path` stays as it was.
    What else lies in a folder at `path` is kept.

    Args:
        path: Where the SavedModel belongs. Folders above it are made.

    Yields:
        The `Path` of an empty folder beside `path`.

    Raises:
        OSError: If `path` is a file, nothing can be written beside it, or TensorFlow
            could not write.
    """
    import tensorflow as tf

    path = Path(path).absolute()
    if path.exists() and not path.is_dir():
        raise FileExistsError(errno.EEXIST, "This is a file, not a folder", str(path))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    except OSError as error:
        reason = f"The SavedModel cannot be written: {error.strerror}"
        raise type(error)(error.errno, reason, str(path)) from error
    try:
        yield new
        _move(new, path)
    except tf.errors.OpError as error:
        full = isinstance(error, tf.errors.ResourceExhaustedError)
        raise OSError(
            errno.ENOSPC if full else errno.EIO,
            f"The SavedModel could not be written: {error.message}",
            str(path),
        ) from error
    finally:
        shutil.rmtree(new, ignore_errors=True)


def _move(new, path):
    # `mkdtemp` lets nobody else read.
    umask = os.umask(0)
    os.umask(umask)
    new.chmod(0o777 & ~umask)
    if not path.exists():
        new.rename(path)
        return
    # Old parts and new ones are never seen as one SavedModel.
    (path / _GRAPH).unlink(missing_ok=True)
    for child in sorted(new.iterdir(), key=lambda child: child.name == _GRAPH):
        old = path / child.name
        if old.is_dir():
            shutil.rmtree(old)
        child.replace(old)
