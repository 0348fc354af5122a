"""Training that is cut anywhere and goes on as if it hadn't been."""

import copy
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


def make_model(units=2, built=True, **options):
    # Dropout draws random numbers, the schedule counts, Adam remembers.
    model = keras.Sequential(
        [
            *([keras.Input((6, 2))] if built else []),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5, seed=1),
            keras.layers.Dense(
                units, kernel_initializer=keras.initializers.GlorotUniform(2)
            ),
        ]
    )
    model.compile(
        AdamW(warmup_cosine(0.01, EPOCHS * 4), recurrent_lr_factor=0.5, **options),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def fit(path, epochs, callbacks=(), model=None, after=()):
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
        callbacks=[*callbacks, checkpoint, *after],
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


def test_fit_may_build_the_model(whole, tmp_path):
    losses = []
    for epochs in (1, 3):
        model = make_model(built=False)
        losses += fit(tmp_path / "cut.npz", epochs, model=model)[1]["loss"]
    assert losses == whole["loss"][:3]


def swap():
    return keras.callbacks.SwapEMAWeights(swap_on_epoch=True)


def averaged_model():
    layers = [keras.Input((6, 2)), keras.layers.Flatten(), keras.layers.Dense(1)]
    model = keras.Sequential(layers)
    model.compile(keras.optimizers.SGD(0.01, use_ema=True, ema_momentum=0.8), "mse")
    return model


def test_weights_may_be_swapped_after_it(tmp_path):
    class Seen(keras.callbacks.Callback):
        """The weights that are in the model for those that save it."""

        def on_epoch_end(self, epoch, logs=None):
            logs["kernel"] = float(self.model.layers[-1].kernel.numpy()[0, 0])

    def run(path, epochs, swapping):
        keras.utils.set_random_seed(0)
        checkpoint = TrainingCheckpoint(path)
        history = averaged_model().fit(
            X,
            Y,
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            shuffle=False,
            verbose=0,
            callbacks=[checkpoint, swapping, Seen()],
        )
        return history.history

    expected = run(tmp_path / "whole.npz", 3, swap())
    parts = {name: [] for name in expected}
    # One that has left averages in another model, too.
    used = swap()
    for epochs, swapping in ((1, used), (2, swap()), (3, used)):
        for name, values in run(tmp_path / "cut.npz", epochs, swapping).items():
            parts[name] += values
    assert parts == expected


def test_weights_must_not_be_swapped_before_it(tmp_path):
    model, checkpoint = averaged_model(), TrainingCheckpoint(tmp_path / "state.npz")
    with pytest.raises(ValueError, match=r"=True\) must stand after .* Received"):
        model.fit(X, Y, verbose=0, callbacks=[swap(), checkpoint])
    assert int(model.optimizer.iterations) == 0
    # These are swapped back before it saves.
    back = keras.callbacks.SwapEMAWeights()
    model.fit(X, Y, verbose=0, callbacks=[back, checkpoint])
    assert checkpoint.epoch == 1


@pytest.mark.parametrize("listed", [True, False], ids=["after", "nowhere"])
def test_counting_callbacks_must_be_before_it(tmp_path, listed):
    stopping = keras.callbacks.EarlyStopping("loss")
    checkpoint = TrainingCheckpoint(tmp_path / "state.npz", [stopping])
    with pytest.raises(ValueError, match=r"stand before it .* Received: EarlyStopping"):
        make_model().fit(
            *(X, Y), verbose=0, callbacks=[checkpoint] + [stopping] * listed
        )


def test_a_copy_does_not_go_on_from_another_training(tmp_path):
    stopping = keras.callbacks.EarlyStopping("loss")
    checkpoint = TrainingCheckpoint(tmp_path / "state.npz", [stopping])
    # As KerasTuner does for each trial.
    first, second = (copy.deepcopy([stopping, checkpoint]) for _ in range(2))
    averaged_model().fit(X, Y, verbose=0, callbacks=first)
    assert first[1].epoch == 1
    with pytest.raises(ValueError, match=r"`path` .* by one training alone.*Received"):
        averaged_model().fit(X, Y, verbose=0, callbacks=second)


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


def test_refuses_a_model_that_nothing_builds(written, backend):
    checkpoint = TrainingCheckpoint(written)
    checkpoint.set_model(make_model(built=False))
    with pytest.raises(ValueError, match=r"must be built.* Received: model='sequen"):
        checkpoint.on_train_begin()
    model = make_model(built=False)
    # Where only the first step would build it, there is no step left.
    if backend != "tensorflow":
        fit(written, 1, model=model)
        assert model.built
    else:
        with pytest.raises(ValueError, match=r"must be built .* no epoch left"):
            fit(written, 1, model=model)


def test_refuses_a_model_that_shapes_do_not_build(written):
    class Picky(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, inputs):
            raise NotImplementedError

    model = Picky()
    model.compile("sgd", "mse")
    with pytest.raises((ValueError, RuntimeError), match=r"buil[td] .*before"):
        fit(written, 2, model=model)


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
