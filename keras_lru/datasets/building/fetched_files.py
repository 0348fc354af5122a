"""Read files of a benchmark that the user has downloaded, and check them."""

from collections.abc import Iterator, Sequence

LRA_HOMEPAGE = "https://github.com/google-research/long-range-arena"
LRA_CITATION = (
    "Tay et al., Long Range Arena: A Benchmark for Efficient Transformers, "
    "ICLR 2021, https://arxiv.org/abs/2011.04006"
)


def lra_instructions(files: str, folder: str) -> str:
    """Where to get `files` of the benchmark, and where to put them."""
    return (
        f"Fetch {files} from the folder {folder} of the tar archive "
        "https://storage.googleapis.com/long-range-arena/lra_release.gz. Put them "
        "there, or pass the folder where they lie as `manual_dir` of "
        "`tfds.download.DownloadConfig`."
    )


def manual_dir(dl_manager):
    """The folder of fetched files.

    Args:
        dl_manager: TFDS's download manager.

    Returns:
        A path.

    Raises:
        FileNotFoundError: If there is no such folder, or nothing in it; says what to
            fetch.
    """
    try:
        return dl_manager.manual_dir
    except AssertionError as error:
        raise FileNotFoundError(str(error)) from error


def find_files(directory, names: Sequence[str], instructions: str) -> list:
    """The paths of `names` in `directory`.

    Args:
        directory: What `manual_dir` returns.
        names: Names of files.
        instructions: Where to get them, for the error.

    Returns:
        A list of paths.

    Raises:
        FileNotFoundError: If some are missing; says which, and what to do.
    """
    paths = [directory / name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(
            f"{directory} must hold {', '.join(names)}. "
            f"Missing: {', '.join(missing)}.\n{instructions}"
        )
    return paths


def read_tsv(
    path, columns: int, rows: int, header: list[bytes] | None = None
) -> Iterator[tuple[int, list[bytes]]]:
    r"""The rows of a tab-separated file, in which quotes are not special.

    Args:
        path: A path with a method `open`.
        columns: The number of columns.
        rows: The number of rows, without the header.
        header: The fields of the first line, if it is no row.

    Yields:
        The number of a line, from 1, and its fields, bytes.

    Raises:
        ValueError: If the file is not as described, or if its last line doesn't end in
            a newline. Names the file and the line.
    """
    number, found = 0, 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                raise bad_line(
                    path,
                    number,
                    "a newline at its end. The file looks truncated: fetch it again, "
                    "or end it with a newline if it is whole",
                    line[-20:],
                )
            fields = line.rstrip(b"\r\n").split(b"\t")
            if number == 1 and header is not None:
                if fields != header:
                    raise bad_line(path, 1, f"the header {header}", fields)
                continue
            if len(fields) != columns:
                raise bad_line(
                    path, number, f"{columns} tab-separated columns", len(fields)
                )
            found += 1
            yield number, fields
    if found != rows:
        raise ValueError(
            f"{path} must have {rows} rows. Received: {found} rows, the last in line "
            f"{number}. The file looks truncated: fetch it again"
        )


def bad_line(path, number: int, expected: str, received) -> ValueError:
    """The error that says what is wrong with a line."""
    received = repr(received)
    # A line of a paper is as long as the paper.
    if len(received) > 80:
        received = f"{received[:80]} …"
    return ValueError(
        f"{path}, line {number}, must have {expected}. Received: {received}"
    )
