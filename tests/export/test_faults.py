"""Exports that fail: a clear error, and nothing left that loads."""

import subprocess

import keras
import numpy as np
import pytest

from keras_lru import SequenceRegressor
from keras_lru.export import export_saved_model


def make_model(units=2):
    model = SequenceRegressor(1, depth=1, units=units, state_size=units)
    model(np.zeros((1, 5, 3), "float32"))
    return model


def export_whole(model, path, **kwargs):
    export_saved_model(model, path, streaming=False, verbose=False, **kwargs)


def serve(path, seed=0):
    import tensorflow as tf

    x = np.random.default_rng(seed).normal(size=(1, 4, 3)).astype("float32")
    model = tf.saved_model.load(str(path))
    return x, model.serve(x).numpy()


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


def test_an_existing_folder_is_refused_before_work_starts(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="`path` must not exist yet"):
        export_whole(make_model(), tmp_path / "model")
    assert files(tmp_path) == ["model"]


def test_overwrite_replaces_the_model_and_keeps_what_is_not_of_it(tmp_path):
    path = tmp_path / "model"
    export_whole(make_model(units=3), path)
    (path / "notes.txt").write_text("mine")
    model = make_model()
    export_whole(model, path, overwrite=True)
    x, served = serve(path)
    np.testing.assert_allclose(served, model.predict(x, verbose=0), atol=1e-5)
    assert (path / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_what_was_there_survives_a_failed_export(tmp_path, monkeypatch, error):
    path = tmp_path / "model"
    export_whole(make_model(), path)
    before, (_, served) = files(tmp_path), serve(path)
    archive = type(keras.export.ExportArchive())
    write_out = archive.write_out

    def interrupted(self, *args, **kwargs):
        write_out(self, *args, **kwargs)
        raise error

    monkeypatch.setattr(archive, "write_out", interrupted)
    with pytest.raises(error):
        export_whole(make_model(), path, overwrite=True)
    with pytest.raises(error):
        make_model().export(path, verbose=False)
    assert files(tmp_path) == before
    np.testing.assert_array_equal(serve(path)[1], served)


def test_a_model_without_weights_is_refused(tmp_path):
    model = SequenceRegressor(1, depth=1)
    for export in (export_whole, lambda model, path: model.export(path)):
        with pytest.raises(ValueError, match="`model` must have been built: call it"):
            export(model, tmp_path / "model")
    assert files(tmp_path) == []


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`model` must be a keras.Model. Received"):
        export_whole(keras.layers.Dense(1), tmp_path / "model")


def test_a_file_in_the_way_is_not_replaced(tmp_path):
    path = tmp_path / "model"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match="a file, not a folder"):
        export_whole(make_model(), path, overwrite=True)
    assert path.read_text() == "mine"


@pytest.fixture
def small_disk(tmp_path):
    """A disk of 64 kB, writable until the test says otherwise."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small disk here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing(small_disk):
    model = make_model(units=64)
    for export in (
        export_whole,
        lambda model, path: model.export(path, verbose=False),
    ):
        with pytest.raises(OSError, match="No space left on device") as info:
            export(model, small_disk / "model")
        assert info.value.filename == str(small_disk / "model")
        assert files(small_disk) == []


def test_a_read_only_disk_is_named(small_disk):
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(command, check=True)
    with pytest.raises(OSError, match="cannot be written: Read-only") as info:
        export_whole(make_model(), small_disk / "model")
    assert info.value.filename == str(small_disk / "model")
