"""Files that hold the examples of a range of indices, whole or not at all."""

import os
import pickle
import zlib
from pathlib import Path

_CHECKSUM_BYTES = 4


def chunk_path(directory, indices):
    """Path of the chunk in `directory` that holds the examples `indices`, a range."""
    return Path(directory) / f"{indices.start:09d}-{indices.stop:09d}.chunk"


def compute_chunk(function, indices, directory):
    """Writes the chunk with the examples that `function` returns for `indices`.

    Raises:
        ValueError: If `function` returns more examples or fewer.
    """
    examples = list(function(indices))
    if len(examples) != len(indices):
        raise ValueError(
            f"`function` must return an example for each of {len(indices)} indices. "
            f"Received: {len(examples)} examples for {indices}"
        )
    _write(chunk_path(directory, indices), examples)


def _write(path, examples):
    payload = pickle.dumps(examples, protocol=5)
    # Renamed when it is whole: a process killed here leaves no chunk.
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    with unfinished.open("wb") as file:
        file.write(_checksum(payload))
        file.write(payload)
        file.flush()
        # A machine that loses power may otherwise keep the name and lose the bytes.
        os.fsync(file.fileno())
    unfinished.replace(path)


def read_chunk(path):
    """The list of examples in `path`, or None where it is missing or damaged."""
    payload = _read_payload(path)
    return None if payload is None else pickle.loads(payload)


def is_whole(path):
    """Whether `path` holds a chunk as `compute_chunk` left it."""
    return _read_payload(path) is not None


def _read_payload(path):
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    checksum, payload = content[:_CHECKSUM_BYTES], content[_CHECKSUM_BYTES:]
    # The checksum of nothing is 0: an empty payload is never a chunk.
    whole = payload and _checksum(payload) == checksum
    return payload if whole else None


def _checksum(payload):
    return zlib.crc32(payload).to_bytes(_CHECKSUM_BYTES, "little")
