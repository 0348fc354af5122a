"""One process at a time prepares a dataset; another waits, and takes it."""

import contextlib
import functools
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:
    # Windows: nobody waits there.
    fcntl = None  # type: ignore[assignment]


def prepare(builder, **options) -> None:
    """Prepare a dataset, if no other process has prepared it meanwhile.

    Args:
        builder: A TFDS builder.
        **options: Those of its `download_and_prepare`.

    Raises:
        FileNotFoundError: If the dataset is there, without the file that describes it.
    """
    if isinstance(builder, PreparesAlone):
        builder.download_and_prepare(**options)
    else:
        by_tfds = builder.download_and_prepare
        _prepare_alone(builder, functools.partial(by_tfds, **options))


class PreparesAlone:
    """Mixin of TFDS builders: while another process prepares the dataset, waits."""

    def download_and_prepare(self, **options):
        """As TFDS's; what another process has prepared meanwhile is taken."""
        by_tfds = super().download_and_prepare
        _prepare_alone(self, functools.partial(by_tfds, **options))


def _prepare_alone(builder, prepare_it: Callable[[], None]) -> None:
    # Beside data that are there one may not be allowed to write.
    if builder.data_path.exists():
        prepare_it()
    else:
        name = builder.info.full_name
        with locked(local_root(builder) / f".{name.replace('/', '_')}.lock", name):
            prepare_it()
    if not builder.info.splits and builder.data_path.exists():
        # Another process has prepared them since this builder was made.
        description = builder.data_path / "dataset_info.json"
        if not description.exists():
            raise FileNotFoundError(
                f"{description}, of the dataset {builder.info.full_name}, is missing. "
                f"Delete {builder.data_dir}, and prepare the dataset again"
            )
        builder.info.read_from_directory(builder.data_dir)


def local_root(builder) -> Path:
    """Where a dataset's processes on this machine may put what they share.

    Args:
        builder: A TFDS builder.

    Returns:
        The folder of all datasets; if they are not on this machine, that of temporary
        files.
    """
    root = os.fspath(builder.data_dir_root)
    return Path(tempfile.gettempdir() if "://" in root else root)


@contextlib.contextmanager
def locked(path: Path, name: str) -> Iterator[None]:
    """Scope that one process at a time is in, and leaves if it is killed.

    Args:
        path: File to lock, which is there meanwhile. Folders above it are made.
        name: What is prepared within, to say what others wait for.
    """
    if fcntl is None:
        yield
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    file = _lock(path, name)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        os.close(file)


def _lock(path, name):
    waits = False
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not waits:
                print(f"Waiting for another process: {name}", file=sys.stderr)
            waits = True
            fcntl.flock(file, fcntl.LOCK_EX)
        except OSError:
            # A file system without locks.
            return file
        # The one before has deleted its file, and a third one may have made another.
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file), os.stat(path)):
                return file
        os.close(file)
