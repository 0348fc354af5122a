"""The benchmark's own Pathfinder images, fetched by the user."""

import io
import struct

from PIL import Image

from keras_lru.datasets.building.fetched_files import bad_line, lra_instructions

_FOLDERS = {
    6: "curv_baseline",
    9: "curv_contour_length_9",
    14: "curv_contour_length_14",
}
# The release holds one empty file.
_EMPTY = "pathfinder32/curv_baseline/imgs/0/sample_172.png"
_PNG_END = b"IEND\xaeB`\x82"
INSTRUCTIONS = "For the configs whose names end in `original` alone. " + (
    lra_instructions("the whole folder pathfinder32 (or 64, 128, 256)", "lra_release")
)


def find_images(directory, size, contour_length):
    """Lists the images that the metadata of a release name.

    Args:
        directory: What `manual_dir` returns.
        size: Height and width of the images.
        contour_length: Dashes of the long curves.

    Returns:
        A list of `(metadata, line, image, label)`: the metadata's path and the number
        of the line in it, the image's path, and 0 or 1.

    Raises:
        FileNotFoundError: If there is no metadata; says what to fetch.
        ValueError: If a line of the metadata is not as it should be; names it.
    """
    folder = directory / f"pathfinder{size}" / _FOLDERS[contour_length]
    files = [path for path in folder.glob("metadata/*.npy") if path.is_file()]
    if not files:
        raise FileNotFoundError(
            f"{directory} must hold {folder.relative_to(directory)} with its folders "
            f"metadata and imgs. Missing: metadata/*.npy.\n{INSTRUCTIONS}"
        )
    images = []
    # By their numbers, as they were written.
    for metadata in sorted(files, key=lambda path: (len(path.name), path.name)):
        for number, fields in _read_lines(metadata):
            image = folder / fields[0] / fields[1]
            if not image.as_posix().endswith(_EMPTY):
                images.append((metadata, number, image, int(fields[3])))
    return images


def read_image(metadata, number, path, size):
    """The bytes of an image.

    Raises:
        ValueError: If it is not a whole grey PNG image of that size; names it and the
            line of the metadata.
    """
    try:
        content = path.read_bytes()
        Image.open(io.BytesIO(content), formats=["PNG"]).verify()
        image = Image.open(io.BytesIO(content))
        image.load()
        if not content.endswith(_PNG_END):
            raise OSError("the end is missing")
        received = f"mode {image.mode}, {image.width} x {image.height}"
        if image.mode == "L" and image.size == (size, size):
            return content
    except (OSError, SyntaxError, ValueError, struct.error) as error:
        received = f"{type(error).__name__}: {error}"
    wanted = f"a grey PNG image (mode L) of {size} x {size} pixels in {path}"
    raise bad_line(metadata, number, wanted, received)


def _read_lines(path):
    """Numbers, from 1, and fields of the lines of a metadata file."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            fields = line.decode("utf-8", "replace").split()
            if not line.endswith(b"\n"):
                wanted = (
                    "a newline at its end. The file looks truncated: fetch it again"
                )
                raise bad_line(path, number, wanted, line)
            if len(fields) < 4 or fields[3] not in ("0", "1"):
                wanted = "a folder, a file name, a number and a label, 0 or 1"
                raise bad_line(path, number, wanted, line)
            yield number, fields
