"""What lies at a path while a SavedModel is written there, and afterwards."""

import pytest

from keras_lru.export.atomic_folder import atomic_folder


def write(folder, text):
    (folder / "variables").mkdir()
    (folder / "variables" / "data").write_text(text)
    (folder / "saved_model.pb").write_text(text)


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_text()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


@pytest.fixture
def path(tmp_path):
    """A SavedModel, and a file that is not of it."""
    path = tmp_path / "model"
    with atomic_folder(path) as folder:
        write(folder, "old")
    (path / "notes.txt").write_text("mine")
    return path


def test_the_new_takes_the_place_of_the_old_and_keeps_what_is_not_of_it(path):
    with atomic_folder(path) as folder:
        write(folder, "new")
    assert files(path.parent) == {
        "model/notes.txt": "mine",
        "model/saved_model.pb": "new",
        "model/variables/data": "new",
    }


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_the_old_is_there_until_the_new_is_whole(path, error):
    before = files(path.parent)

    def fail():
        with atomic_folder(path) as folder:
            write(folder, "new")
            raise error

    with pytest.raises(error):
        fail()
    assert files(path.parent) == before
    assert list(path.parent.iterdir()) == [path]


def test_folders_above_are_made(tmp_path):
    with atomic_folder(tmp_path / "a" / "b") as folder:
        write(folder, "new")
    assert len(files(tmp_path / "a" / "b")) == 2


def test_a_file_in_the_way_is_not_replaced(tmp_path):
    path = tmp_path / "model"
    path.write_text("mine")
    with (
        pytest.raises(FileExistsError, match="a file, not a folder"),
        atomic_folder(path),
    ):
        raise RuntimeError("This is past the check of the path")
    assert path.read_text() == "mine"
