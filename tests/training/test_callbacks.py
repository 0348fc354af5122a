"""Training that is cut anywhere and goes on as if it hadn't been."""

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_lru.training import AdamW, TrainingCheckpoint, warmup_cosine

RNG = np.random.default_rng(0)
X = RNG.normal(size=(32, 6, 2)).astype("float32")
Y = (X.sum((1, 2)) > 0).astype("int32")
EPOCHS = 6


def make_model(units=2):
    # Dropout draws random numbers, the schedule counts, Adam remembers.
    model = keras.Sequential(
        [
            keras.Input((6, 2)),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(
                units, kernel_initializer=keras.initializers.GlorotUniform(2)
            ),
        ]
    )
    model.compile(
        AdamW(warmup_cosine(0.01, EPOCHS * 4), recurrent_lr_factor=0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit(path, epochs, callbacks=(), model=None):
    checkpoint = TrainingCheckpoint(path)
    history = (model or make_model()).fit(
        X,
        Y,
        batch_size=8,
        initial_epoch=checkpoint.epoch,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        validation_data=(X, Y),
        callbacks=[*callbacks, checkpoint],
    )
    return checkpoint, history.history


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The losses of a run that is never cut."""
    return fit(tmp_path_factory.mktemp("whole") / "state.npz", EPOCHS)[1]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of one epoch, in a folder that was not there."""
    path = tmp_path_factory.mktemp("written") / "new" / "state.npz"
    fit(path, 1)
    return path


def test_loss_curve_is_that_of_a_run_never_cut(whole, tmp_path):
    parts = {name: [] for name in whole}
    for epochs in (2, 3, EPOCHS):
        checkpoint, part = fit(tmp_path / "cut.npz", epochs)
        assert checkpoint.epoch == epochs
        for name, values in part.items():
            parts[name] += values
    assert parts == whole


class KilledError(Exception):
    """In place of kill -9: nothing of the epoch is saved."""


class Killer(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 2 and self.epoch == 3:
            raise KilledError

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch


def test_a_run_killed_within_an_epoch_repeats_it(whole, tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(KilledError):
        fit(path, EPOCHS, [Killer()])
    _, rest = fit(path, EPOCHS)
    assert rest["loss"] == whole["loss"][3:]
    assert rest["val_loss"] == whole["val_loss"][3:]


def test_file_is_replaced_whole(written, tmp_path, monkeypatch):
    path = shutil.copy(written, tmp_path)
    before = written.read_bytes()

    def torn(file, **arrays):
        file.write(b"half of")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", torn)
    with pytest.raises(OSError, match="No space left"):
        fit(path, 2)
    assert Path(path).read_bytes() == before
    assert TrainingCheckpoint(path).epoch == 1


def early_stopping(patience):
    return keras.callbacks.EarlyStopping("score", mode="max", patience=patience)


def scores(values):
    return keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(score=values[epoch])
    )


def test_patience_runs_on(tmp_path):
    values = [0.1, 0.9, 0.5, 0.6, 0.7, 0.8]
    path = tmp_path / "state.npz"
    for epochs, stopped in ((3, False), (6, True)):
        # Without what the first one counted, the second would stop an epoch later.
        stopping = early_stopping(patience=2)
        checkpoint = TrainingCheckpoint(path, [stopping])
        make_model().fit(
            X,
            Y,
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            verbose=0,
            callbacks=[scores(values), stopping, checkpoint],
        )
        assert checkpoint.stopped is stopped
    assert checkpoint.epoch == 4
    assert stopping.best == 0.9
    assert TrainingCheckpoint(path, [early_stopping(2)]).stopped


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_comes_back_exactly(tmp_path, dtype):
    def make():
        model = keras.Sequential(
            [keras.Input((6, 2)), keras.layers.Flatten(), keras.layers.Dense(1)]
        )
        model.compile("sgd", "mse")
        return model

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype)
    try:
        first, second = make(), make()
    finally:
        keras.config.set_dtype_policy(before)
    assert first.layers[-1].kernel.dtype == dtype
    fit(tmp_path / "state.npz", 1, model=first)
    second.optimizer.build(second.trainable_variables)
    checkpoint = TrainingCheckpoint(tmp_path / "state.npz")
    checkpoint.set_model(second)
    checkpoint.on_train_begin()
    for old, new in zip(first.weights, second.weights, strict=True):
        assert new.dtype == dtype
        np.testing.assert_array_equal(
            *(
                keras.ops.convert_to_numpy(keras.ops.cast(x, "float32"))
                for x in (old, new)
            )
        )
    assert checkpoint.epoch == 1
    assert fit(tmp_path / "state.npz", 2, model=second)[0].epoch == 2


def test_refuses_the_wrong_epoch(written):
    checkpoint = TrainingCheckpoint(written)
    with pytest.raises(ValueError, match=r"`initial_epoch` .* initial_epoch=0, .*=1"):
        make_model().fit(X, Y, epochs=3, verbose=0, callbacks=[checkpoint])


def test_refuses_another_model(written):
    with pytest.raises(ValueError, match=r"`path` must be of a model like this one"):
        fit(written, 2, model=make_model(units=3))


def test_refuses_a_model_without_weights_yet(written):
    checkpoint = TrainingCheckpoint(written)
    checkpoint.set_model(keras.Sequential([keras.layers.Dense(2)]))
    with pytest.raises(ValueError, match=r"must be built .* 'sequential"):
        checkpoint.on_train_begin()


def test_refuses_other_callbacks(written):
    with pytest.raises(ValueError, match=r"`callbacks` .* of \[\]. Received: \['Early"):
        TrainingCheckpoint(written, [early_stopping(2)])


def test_refuses_weights_kept_in_memory(tmp_path):
    callback = keras.callbacks.EarlyStopping(restore_best_weights=True)
    with pytest.raises(ValueError, match=r"EarlyStopping\(restore_best_weights=True"):
        TrainingCheckpoint(tmp_path / "state.npz", [callback])


def test_refuses_another_kind_of_file(tmp_path):
    with pytest.raises(ValueError, match=r"`path` must end in '.npz'. Received"):
        TrainingCheckpoint(tmp_path / "state.h5")
