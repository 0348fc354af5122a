import io
import tempfile
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from keras_lru.datasets import LraPathfinder, PathfinderConfig
from keras_lru.datasets.building.pathfinder_original import find_images, read_image
from keras_lru.datasets.generating.pathfinder import draw_examples, pathfinder_spec

FEW = {"train_examples": 6, "validation_examples": 2, "test_examples": 3}
FOLDER = "pathfinder32/curv_contour_length_14"


def write_release(directory, folder=FOLDER, size=32, number=10):
    """Writes what the benchmark's archive holds, with fewer images."""
    folder = directory / folder
    (folder / "metadata").mkdir(parents=True)
    examples = draw_examples(range(number), pathfinder_spec(size), 0, "release")
    # Batches 9 and 10: by number, not by letter.
    for batch, half in ((9, examples[: number // 2]), (10, examples[number // 2 :])):
        images = folder / "imgs" / str(batch)
        images.mkdir(parents=True)
        lines = []
        for i, example in enumerate(half):
            (images / f"sample_{i}.png").write_bytes(example["image"])
            label = example["label"]
            lines.append(
                f"imgs/{batch} sample_{i}.png {i} {label} 1.0 14 4 2 0.5 1 1\n"
            )
        (folder / "metadata" / f"{batch}.npy").write_text("".join(lines))
    return examples


def prepared(data_dir, config, manual_dir=None, **kwargs):
    builder = LraPathfinder(data_dir=data_dir, config=config, **kwargs)
    builder.download_and_prepare(
        download_config=tfds.download.DownloadConfig(manual_dir=manual_dir)
    )
    return builder


def pairs(builder, split):
    """Bytes of the images' pixels, and labels."""
    dataset = tfds.as_numpy(builder.as_dataset(split=split))
    return {(example["image"].tobytes(), int(example["label"])) for example in dataset}


def decoded(examples):
    return {
        (Image.open(io.BytesIO(example["image"])).tobytes(), example["label"])
        for example in examples
    }


@pytest.fixture
def release(tmp_path):
    directory = tmp_path / "manual"
    write_release(directory)
    return directory


class LraPathfinderTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = LraPathfinder
    EXAMPLE_DIR = tempfile.gettempdir()
    BUILDER_CONFIG_NAMES_TO_TEST = (PathfinderConfig(**FEW),)
    SPLITS: ClassVar = {"train": 6, "validation": 2, "test": 3}


class LraPathfinderOriginalTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = LraPathfinder
    BUILDER_CONFIG_NAMES_TO_TEST = ("32_14_original",)
    SPLITS: ClassVar = {"train": 8, "validation": 1, "test": 1}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.EXAMPLE_DIR = cls.enterClassContext(tempfile.TemporaryDirectory())
        write_release(Path(cls.EXAMPLE_DIR))


def test_configs_have_the_benchmark_s_sizes():
    configs = LraPathfinder.builder_configs
    assert len(configs) == 26
    assert LraPathfinder.BUILDER_CONFIGS[0].name == "32_14"
    for size in (32, 64, 128, 256):
        assert {f"{size}_{length}" for length in (6, 9, 14)} < set(configs)
    assert configs["32_6_plain"].num_examples("train") == 40_000
    assert configs["32_6_plain"].spec().num_distractors == 0
    assert configs["128_9"].settings() == {
        "train_examples": 160_000,
        "validation_examples": 20_000,
        "test_examples": 20_000,
        "seed": 0,
        "size": 128,
        "contour_length": 9,
        "single_dashes": False,
        "distractors": True,
        "original": False,
    }
    assert configs["256_6_original"].original


def test_prepared_images_are_those_drawn(tmp_path):
    config = PathfinderConfig(size=128, contour_length=6, seed=2, **FEW)
    builder = prepared(tmp_path, config, processes=1)
    assert builder.info.features["image"].shape == (128, 128, 1)
    for split, number in (("train", 6), ("validation", 2), ("test", 3)):
        drawn = draw_examples(range(number), pathfinder_spec(128, 6), 2, split)
        assert pairs(builder, split) == decoded(drawn)


def test_two_processes_prepare_the_bytes_that_one_prepares(tmp_path, monkeypatch):
    monkeypatch.setattr(LraPathfinder, "CHUNK_SIZE", 4)
    contents = []
    for processes in (1, 2):
        directory = tmp_path / str(processes)
        builder = prepared(directory, PathfinderConfig(**FEW), processes=processes)
        records = sorted(Path(builder.data_dir).glob("*.tfrecord*"))
        contents.append({path.name: path.read_bytes() for path in records})
    assert len(contents[0]) == 3
    assert contents[0] == contents[1]


def test_original_images_are_split_into_tenths(tmp_path, release):
    builder = prepared(tmp_path, "32_14_original", release)
    splits = {split: pairs(builder, split) for split in builder.info.splits}
    sizes = {split: len(images) for split, images in splits.items()}
    assert sizes == {"train": 8, "validation": 1, "test": 1}
    written = draw_examples(range(10), pathfinder_spec(32), 0, "release")
    assert set.union(*splits.values()) == decoded(written)


def test_original_images_are_shuffled_by_the_seed(tmp_path, release):
    tests = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        config = PathfinderConfig(name=name, original=True, seed=seed)
        tests.append(pairs(prepared(tmp_path, config, release), "test"))
    assert tests[0] == tests[1] != tests[2]


def test_metadata_is_read_in_the_order_of_its_numbers(release):
    images = find_images(release, 32, 14)
    assert [(path.stem, number) for path, number, *_ in images] == [
        *(("9", number) for number in range(1, 6)),
        *(("10", number) for number in range(1, 6)),
    ]
    assert [label for *_, label in images] == [0, 1, 0, 1, 0, 1, 0, 1, 0, 1]


def test_the_empty_image_of_the_release_is_left_out(tmp_path):
    write_release(tmp_path, "pathfinder32/curv_baseline", number=2)
    folder = tmp_path / "pathfinder32/curv_baseline"
    metadata = folder / "metadata/9.npy"
    images = folder / "imgs/0"
    images.mkdir()
    (images / "sample_172.png").touch()
    line = "imgs/0 sample_172.png 172 0 1.0 6 2 2 0.5 1 1\n"
    metadata.write_text(line + metadata.read_text())
    assert [
        (path.stem, number) for path, number, *_ in find_images(tmp_path, 32, 6)
    ] == [
        ("9", 2),
        ("10", 1),
    ]


def test_missing_folder_says_what_to_fetch_and_where_to_put_it(tmp_path, release):
    with pytest.raises(FileNotFoundError) as caught:
        prepared(tmp_path, "64_9_original", release)
    message = str(caught.value)
    assert f"{release} must hold pathfinder64/curv_contour_length_9" in message
    assert "lra_release.gz" in message
    assert "manual_dir" in message


def as_png(image):
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def as_jpeg(content):
    file = io.BytesIO()
    Image.open(io.BytesIO(content)).save(file, "JPEG")
    return file.getvalue()


DAMAGES = {
    "empty": lambda content: b"",
    "truncated header": lambda content: content[:20],
    "truncated": lambda content: content[: len(content) // 2],
    "end missing": lambda content: content[:-12],
    "flipped byte": lambda content: content[:60] + b"\0\1\2" + content[63:],
    "JPEG": as_jpeg,
    "colour": lambda content: as_png(Image.open(io.BytesIO(content)).convert("RGB")),
    "other size": lambda content: as_png(Image.new("L", (32, 31))),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_bad_image_is_told_with_the_line_of_the_metadata(tmp_path, release, damage):
    path = release / FOLDER / "imgs/10/sample_2.png"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match="must have a grey PNG image") as caught:
        prepared(tmp_path, "32_14_original", release)
    message = str(caught.value)
    assert f"{FOLDER}/metadata/10.npy, line 3, " in message
    assert f"of 32 x 32 pixels in {path}. Received: " in message


def test_missing_image_is_told_with_the_line_of_the_metadata(tmp_path, release):
    (release / FOLDER / "imgs/9/sample_0.png").unlink()
    with pytest.raises(ValueError, match=r"9\.npy, line 1, .*No such file"):
        prepared(tmp_path, "32_14_original", release)


def test_image_cut_anywhere_is_refused(release):
    metadata, number, path, _ = find_images(release, 32, 14)[0]
    content = path.read_bytes()
    assert read_image(metadata, number, path, 32) == content
    for length in range(len(content)):
        path.write_bytes(content[:length])
        with pytest.raises(ValueError, match="line 1, must have a grey PNG image"):
            read_image(metadata, number, path, 32)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("imgs/9 sample_1.png 1 2 1.0\n", "a label, 0 or 1. Received: b'imgs/9"),
        ("imgs/9 sample_1.png 1 one 1.0\n", "a label, 0 or 1. Received: b'imgs/9"),
        ("imgs/9 sample_1.png\n", "a label, 0 or 1. Received: b'imgs/9"),
        ("\n", "a label, 0 or 1. Received: "),
        ("\x93NUMPY\n", "a label, 0 or 1. Received: "),
        ("imgs/9 sample_1.png 1 1", "a newline at its end"),
    ],
    ids=["label 2", "label in words", "short", "empty", "binary", "truncated"],
)
def test_bad_line_of_metadata_is_told(tmp_path, release, line, message):
    path = release / FOLDER / "metadata/9.npy"
    first = path.read_text().splitlines(keepends=True)[0]
    path.write_text(first + line, encoding="latin-1")
    with pytest.raises(ValueError, match=r"9\.npy, line 2, must have ") as caught:
        prepared(tmp_path, "32_14_original", release)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ({"size": 16}, "size"),
        ({"contour_length": 10}, "contour_length"),
        ({"test_examples": 0}, "test_examples"),
        ({"original": True, "train_examples": 100}, "train_examples"),
        ({"original": True, "single_dashes": True}, "single_dashes"),
        ({"original": True, "distractors": False}, "distractors"),
    ],
)
def test_config_refuses(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received: {name}="):
        PathfinderConfig(**arguments)


def test_single_dashes_are_another_dataset(tmp_path):
    few = {"train_examples": 1, "validation_examples": 1, "test_examples": 1}
    means = []
    for single_dashes in (False, True):
        config = PathfinderConfig(single_dashes=single_dashes, **few)
        builder = prepared(tmp_path, config, processes=1)
        ((image, _),) = pairs(builder, "train")
        means.append(np.frombuffer(image, np.uint8).mean())
    assert means[1] > means[0] + 5
