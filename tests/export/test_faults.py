"""Exports that fail: a clear error, and nothing left that loads."""

import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_lru import SequenceRegressor
from keras_lru.export import export_saved_model

from .samples import SIZES, built, features


def make_model():
    return built(SequenceRegressor(1, **SIZES), features)


def export_whole(model, path, **kwargs):
    export_saved_model(model, path, streaming=False, verbose=False, **kwargs)


def export_itself(model, path):
    model.export(path, verbose=False)


def serve(path):
    import tensorflow as tf

    model = tf.saved_model.load(str(path))
    return model.serve(features(2, 5)).numpy()


def files(folder):
    return {
        str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None
        for p in sorted(folder.rglob("*"))
    }


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / "model"
    export_whole(make_model(), path)
    return path


def test_an_existing_folder_is_refused_before_work_starts(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(FileExistsError, match="`path` must not exist yet"):
        export_whole(make_model(), tmp_path / "model")
    assert files(tmp_path) == {"model": None}


def test_overwrite_replaces_the_model_and_keeps_what_is_not_of_it(exported, tmp_path):
    path = tmp_path / "model"
    shutil.copytree(exported, path)
    (path / "notes.txt").write_text("mine")
    model = make_model()
    export_whole(model, path, overwrite=True)
    expected = model.predict(features(2, 5), verbose=0)
    np.testing.assert_allclose(serve(path), expected, atol=1e-5)
    assert (path / "notes.txt").read_text() == "mine"
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_what_was_there_survives_an_interrupted_export(exported, tmp_path, monkeypatch):
    path = tmp_path / "model"
    shutil.copytree(exported, path)
    before = files(tmp_path)

    def interrupted(self, folder, *args, **kwargs):
        (Path(folder) / "saved_model.pb").write_text("half of one")
        raise KeyboardInterrupt

    monkeypatch.setattr(type(keras.export.ExportArchive()), "write_out", interrupted)
    model = make_model()
    for export, options in ((export_whole, {"overwrite": True}), (export_itself, {})):
        with pytest.raises(KeyboardInterrupt):
            export(model, path, **options)
        assert files(tmp_path) == before


def test_a_model_without_weights_is_refused(tmp_path):
    model = SequenceRegressor(1, depth=1)
    for export in (export_whole, export_itself):
        with pytest.raises(ValueError, match="`model` must have been built: call it"):
            export(model, tmp_path / "model")
    assert files(tmp_path) == {}


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
    """A disk of 16 kB, writable until the test says otherwise."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small disk here: {error}")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_leaves_nothing(small_disk):
    model = make_model()
    for export in (export_whole, export_itself):
        with pytest.raises(OSError, match="No space left on device") as info:
            export(model, small_disk / "model")
        assert info.value.filename == str(small_disk / "model")
        assert files(small_disk) == {}


def test_a_read_only_disk_is_named(small_disk):
    command = ["mount", "-o", "remount,ro", str(small_disk)]
    subprocess.run(command, check=True)
    with pytest.raises(OSError, match="cannot be written: Read-only") as info:
        export_whole(make_model(), small_disk / "model")
    assert info.value.filename == str(small_disk / "model")
