"""What is recorded while a model trains, and what a resumed run makes of it."""

import copy
import csv
import pickle
import sys

import keras
import numpy as np
import pytest

from keras_lru import LRU
from keras_lru.training import TrainingCheckpoint, data_parallel
from keras_lru.visualization import (
    SpectrumLogger,
    find_eigenvalues,
    plot_spectrum_history,
)
from keras_lru.visualization.records import FIELDS

X = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
Y = 0.1 * X[:, ::-1]


class Decay(keras.layers.Layer):
    """All that the callback sees of a recurrence, and cheap to train."""

    def build(self, input_shape):
        initial = keras.initializers.RandomUniform(0.2, 0.9, seed=1)
        self.real = self.add_weight(shape=(4,), initializer=initial, name="real")

    @property
    def eigenvalues(self):
        return keras.ops.convert_to_numpy(self.real) * np.exp(1j * np.arange(4))

    def call(self, inputs):
        return inputs * self.real


NAMES = ["model/first", "model/second"]


def make_model(built=True, optimizer=None, **options):
    layers = [Decay(name="first"), Decay(name="second")]
    inputs = [keras.Input((4,))] if built else []
    model = keras.Sequential([*inputs, *layers], name="model")
    # A rate at which every step shows.
    model.compile(optimizer or keras.optimizers.SGD(0.1), "mse", **options)
    return model


def fit(model, *callbacks, epochs=2, **options):
    """Four batches an epoch."""
    return model.fit(
        *(X, Y),
        batch_size=2,
        epochs=epochs,
        shuffle=False,
        verbose=0,
        callbacks=list(callbacks),
        **options,
    )


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def steps(records):
    """The steps recorded, each with both layers."""
    assert [record["layer"] for record in records] == NAMES * (len(records) // 2)
    return [int(record["step"]) for record in records[::2]]


def test_epochs_are_recorded_and_the_start():
    lru = LRU(4, state_size=3, seed=1, parameterization="exp", name="lru")
    both = keras.layers.Bidirectional(lru, merge_mode="sum", name="both")
    model = keras.Sequential([keras.Input((2, 2)), both], name="model")
    model.compile(keras.optimizers.SGD(0.05), "mse")
    before = find_eigenvalues(model)
    logger = SpectrumLogger()
    model.fit(X.reshape(8, 2, 2), Y, batch_size=4, verbose=0, callbacks=[logger])
    assert [(record["step"], record["layer"]) for record in logger.records] == [
        (step, f"model/both/{direction}_lru")
        for step in (0, 2)
        for direction in ("forward", "backward")
    ]
    for record, values in zip(logger.records[:2], before.values(), strict=True):
        moduli = np.abs(values)
        assert record["modulus_min"] == pytest.approx(moduli.min())
        assert record["modulus_max"] == pytest.approx(moduli.max())
    for record, values in zip(
        logger.records[-2:], find_eigenvalues(model).values(), strict=True
    ):
        phase = np.abs(np.angle(values))
        assert record["phase_max"] == pytest.approx(phase.max())
        life = np.log(2) / -np.log(np.abs(values.astype("complex128")).max())
        # A rounding of |λ|, 6e-8, is that much of 1 − |λ|.
        assert record["half_life_max"] == pytest.approx(life, rel=1e-7 * life)
    assert logger.records[0]["modulus_max"] != logger.records[-2]["modulus_max"]


def test_batches_are_recorded_as_the_weights_are_then():
    model, logger = make_model(), SpectrumLogger(every=3)
    fit(model, logger)
    assert steps(logger.records) == [0, 3, 6]
    moduli = [record["modulus_median"] for record in logger.records[::2]]

    # The same batches, an epoch for each: there nothing is out of date.
    single, each = make_model(), SpectrumLogger()
    for batch in range(6):
        part = slice(2 * (batch % 4), 2 * (batch % 4) + 2)
        single.fit(X[part], Y[part], verbose=0, callbacks=[each])
    expected = [record["modulus_median"] for record in each.records[::2]]
    assert moduli == pytest.approx([expected[i] for i in (0, 3, 6)], abs=1e-6)
    assert len(set(moduli)) == 3


def test_batches_that_pass_together_are_recorded_once():
    logger = SpectrumLogger(every=3)
    fit(make_model(steps_per_execution=2), logger)
    # Seen are steps 2, 4, 6 and 8.
    assert steps(logger.records) == [0, 4, 6]


def test_batches_that_are_not_there_are_not_counted():
    logger = SpectrumLogger(every=1)
    fit(make_model(steps_per_execution=3), logger)
    # The second execution of an epoch has one batch left.
    assert steps(logger.records) == [0, 3, 4, 7, 8]


@pytest.mark.parametrize(("every", "expected"), [(3, [0, 3, 6]), ("epoch", [0, 4, 8])])
def test_batches_are_counted_that_wait_for_an_update(every, expected):
    optimizer = keras.optimizers.SGD(0.1, gradient_accumulation_steps=3)
    if every == "epoch":
        # As mixed precision does.
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    logger = SpectrumLogger(every=every)
    fit(make_model(optimizer=optimizer), logger)
    assert steps(logger.records) == expected


def test_fit_may_build_the_model():
    expected, logger = SpectrumLogger(), SpectrumLogger()
    fit(make_model(), expected)
    fit(make_model(built=False), logger)
    assert logger.records == expected.records


def test_fit_may_build_a_model_of_several_inputs():
    class Sum(keras.Model):
        def __init__(self):
            super().__init__(name="model")
            self.embedding = keras.layers.Embedding(3, 4)
            self.first, self.second = Decay(name="first"), Decay(name="second")

        def call(self, inputs, training=False):
            embedded = self.embedding(inputs["tokens"])[:, 0]
            return self.first(embedded) + self.second(inputs["floats"])

    model, early, logger = Sum(), SpectrumLogger(), SpectrumLogger()
    model.compile("sgd", "mse")
    x = {"tokens": np.ones((8, 1), "int32"), "floats": X}
    interruption = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        model.fit(x, Y, verbose=0, callbacks=[early, interruption])
    recorded = list(early.records)
    model.fit(x, Y, batch_size=4, verbose=0, callbacks=[logger])
    assert steps(logger.records) == [0, 2]
    # What waited in a training that never started isn't called in another.
    assert early.records == recorded


def interrupt(epoch, logs):
    raise KeyboardInterrupt


def test_training_on_all_devices_is_recorded():
    with data_parallel():
        logger = SpectrumLogger(every=3)
        fit(make_model(), logger, epochs=1)
    assert steps(logger.records) == [0, 3]


def test_recording_does_not_change_the_training():
    losses = [
        fit(make_model(), *callbacks).history["loss"]
        for callbacks in ((), (SpectrumLogger(every=1),))
    ]
    assert losses[0] == losses[1]


def test_csv_holds_the_records(tmp_path):
    path = tmp_path / "new" / "spectrum.csv"
    logger = SpectrumLogger(csv=path)
    fit(make_model(), logger)
    logged = rows(path)
    assert tuple(logged[0]) == FIELDS
    assert [float(row["phase_q25"]) for row in logged] == [
        record["phase_q25"] for record in logger.records
    ]
    ax = plot_spectrum_history(path)
    assert ax.lines[1].get_xdata().tolist() == [0, 4, 8]
    # A new run without `append` is a new file, and one more `fit` is not.
    again, model = SpectrumLogger(csv=str(path)), make_model()
    fit(model, again, epochs=1)
    assert steps(rows(path)) == [0, 4]
    fit(model, again, epochs=1)
    assert steps(rows(path)) == [0, 4, 8]


def run(folder, epochs, built=True, **options):
    """A run that goes on where the last one was saved."""
    checkpoint = TrainingCheckpoint(folder / "training.npz")
    logger = SpectrumLogger(csv=folder / "spectrum.csv", append=True, **options)
    start = checkpoint.epoch
    fit(make_model(built), logger, checkpoint, epochs=epochs, initial_epoch=start)


@pytest.mark.parametrize("every", ["epoch", 3])
def test_a_resumed_run_goes_on_with_its_csv(tmp_path, every):
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    run(whole, 3, every=every)
    # Not built, `fit` does it: the weights come back before they are recorded.
    run(cut, 1, every=every, built=every == 3)
    run(cut, 3, every=every, built=every == 3)
    assert rows(cut / "spectrum.csv") == rows(whole / "spectrum.csv")


def test_steps_after_the_last_checkpoint_are_replaced(tmp_path):
    path = tmp_path / "spectrum.csv"
    run(tmp_path, 1)
    saved = (tmp_path / "training.npz").read_bytes()
    run(tmp_path, 3)
    whole = path.read_text()
    # Killed in the last row, in an epoch after the one that was saved.
    path.write_text(whole[: whole.rindex(",")])
    (tmp_path / "training.npz").write_bytes(saved)
    run(tmp_path, 3)
    assert path.read_text() == whole


def test_tensorboard_gets_scalars_and_histograms(tmp_path):
    from tensorboard.backend.event_processing import event_accumulator

    logger = SpectrumLogger(log_dir=tmp_path)
    model = make_model()
    fit(model, logger, epochs=1)
    fit(model, logger, epochs=1)
    events = event_accumulator.EventAccumulator(
        str(tmp_path), size_guidance={event_accumulator.TENSORS: 0}
    ).Reload()
    quantities = ["modulus", "log10_half_life", "phase"]
    assert sorted(events.Tags()["tensors"]) == sorted(
        f"{name}/{key}" for name in NAMES for key in [*FIELDS[2:], *quantities]
    )
    for name, records in zip(
        NAMES, (logger.records[::2], logger.records[1::2]), strict=True
    ):
        for key in ("modulus_median", "half_life_max", "phase_q95"):
            logged = events.Tensors(f"{name}/{key}")
            assert [event.step for event in logged] == [0, 4, 8]
            values = [float(_array(event)) for event in logged]
            expected = [record[key] for record in records]
            assert values == pytest.approx(expected, rel=1e-6)
        # Left edge, right edge and count of each bucket.
        histogram = _array(events.Tensors(f"{name}/modulus")[-1])
        assert histogram[:, 2].sum() == 4
        assert histogram[0, 0] == pytest.approx(records[-1]["modulus_min"])
        assert histogram[-1, 1] == pytest.approx(records[-1]["modulus_max"])


def test_copies_log_for_themselves(tmp_path):
    original = SpectrumLogger(log_dir=tmp_path / "board", csv=tmp_path / "a.csv")
    # As KerasTuner makes them, and one after a training that was interrupted.
    first, second = copy.deepcopy([original, original])[0], pickle.dumps(original)
    with pytest.raises(KeyboardInterrupt):
        fit(make_model(), first, keras.callbacks.LambdaCallback(on_epoch_end=interrupt))
    for logger in (pickle.loads(second), copy.copy(first)):
        fit(make_model(), logger, epochs=1)
        assert steps(logger.records)[-2:] == [0, 4]
    assert original.records == []
    assert len(list((tmp_path / "board").iterdir())) == 3


def _array(event):
    from tensorboard.util import tensor_util

    return tensor_util.make_ndarray(event.tensor_proto)


class Unstable(keras.layers.Layer):
    eigenvalues = np.array([0.0, 0.5, 1.0, -2.0])

    def call(self, inputs):
        return inputs


def test_half_lives_without_end_are_logged(tmp_path):
    layers = [keras.Input((4,)), Unstable(name="unstable"), keras.layers.Dense(4)]
    model = keras.Sequential(layers)
    model.compile("sgd", "mse")
    paths = {"log_dir": tmp_path / "board", "csv": tmp_path / "spectrum.csv"}
    logger = SpectrumLogger(**paths)
    model.fit(X, X, verbose=0, callbacks=[logger])
    assert logger.records[0]["half_life_max"] == np.inf
    assert rows(paths["csv"])[0]["half_life_max"] == "inf"
    plot_spectrum_history(paths["csv"], quantity="half_life")


def test_a_model_without_recurrence_is_refused_before_it_trains():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(4)], name="dense")
    model.compile("sgd", "mse")
    before = model.get_weights()[0]
    with pytest.raises(ValueError, match=r"`model` must .* Received: model='dense'"):
        model.fit(X, Y, verbose=0, callbacks=[SpectrumLogger()])
    np.testing.assert_array_equal(model.get_weights()[0], before)


@pytest.mark.parametrize("every", [0, -1, 2.5, "batch", None, True])
def test_bad_intervals_are_refused(every):
    with pytest.raises(ValueError, match=r'`every` must be "epoch" or .* Received'):
        SpectrumLogger(every=every)


def test_appending_to_another_file_is_refused(tmp_path):
    other = tmp_path / "metrics.csv"
    other.write_text("epoch,loss\n0,1.0\n")
    with pytest.raises(ValueError, match=r"metrics.csv must be a CSV file of Spectrum"):
        SpectrumLogger(csv=other, append=True)
    assert other.read_text() == "epoch,loss\n0,1.0\n"


def test_without_tensorboard_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ImportError, match="pip install tensorflow tensorboard"):
        SpectrumLogger(log_dir=tmp_path)
