"""Fewer states while a model is trained."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRU, S5, LRUBlock, LRUCell, SequenceClassifier
from keras_lru.compress import ReduceStates, reduce_states
from keras_lru.training import compile_recommended

STATES = 12


def recurrence(**options):
    return LRU(4, STATES, r_max=0.95, return_sequences=True, seed=0, **options)


def heads(**options):
    return SequenceClassifier(3, depth=2, units=4, state_size=STATES, seed=0, **options)


MODELS = {
    "classifier": heads,
    "template": lambda: heads(
        recurrence=S5(4, 2 * STATES, blocks=2, return_sequences=True),
        bidirectional=True,
    ),
    "layers": lambda: keras.Sequential(
        [
            keras.layers.Bidirectional(recurrence()),
            keras.layers.RNN(LRUCell(4, STATES, seed=1), return_sequences=True),
            LRUBlock(4, STATES, seed=2),
            keras.layers.Dense(3),
        ]
    ),
}
SLOW = ("template", "layers")


def data(count=8, steps=20):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(count, steps, 2)).astype("float32")
    return x, np.arange(count) % 3


def compiled(model, epochs=3):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return compile_recommended(model, 2 * epochs, loss, ["accuracy"])


class Watch(keras.callbacks.Callback):
    """What a model gives after each epoch, and what its optimizer has."""

    def __init__(self, x, **options):
        super().__init__()
        self.x, self.options = x, options
        self.found, self.moments, self.reduced = [], [], None

    def on_epoch_end(self, epoch, logs=None):
        outputs = ops.convert_to_numpy(self.model(self.x, training=False))
        self.found.append(outputs)
        self.moments.append(
            [ops.convert_to_numpy(v) for v in self.model.optimizer.variables]
        )
        if epoch == 0 and self.options:
            small = reduce_states(self.model, **self.options).model
            self.reduced = ops.convert_to_numpy(small(self.x, training=False))


@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=[pytest.mark.slow] * (n in SLOW), id=n) for n in MODELS],
)
def test_training_goes_on_with_fewer_states(name, tmp_path):
    x, y = data()
    model = compiled(MODELS[name]())
    before, after = Watch(x, state_size=5), Watch(x)
    reduce = ReduceStates([1], state_size=5)
    history = model.fit(
        x,
        y,
        batch_size=4,
        epochs=3,
        verbose=0,
        validation_data=(x, y),
        callbacks=[before, reduce, after],
    ).history
    # It is what the function makes of it, at that moment.
    np.testing.assert_allclose(after.found[0], before.reduced, atol=1e-5)
    # And learns on: the same weights would give the same outputs.
    assert np.abs(after.found[1] - after.found[0]).max() > 1e-4
    assert np.isfinite(history["val_loss"]).all()
    (found,) = reduce.reduced.values()
    cells = [x for x in model._flatten_layers() if getattr(x, "num_states", 0)]
    assert {cell.num_states for cell in cells} == {5}
    assert [layer.state_size for layer in found.values()] == [5] * len(cells)

    # What the optimizer knows of all other weights, and its count of steps, stay.
    resized = 0
    for a, b in zip(before.moments[0], after.moments[0], strict=True):
        if a.shape == b.shape:
            np.testing.assert_array_equal(a, b)
        else:
            np.testing.assert_allclose(b, a.mean(), rtol=1e-4, atol=1e-12)
            resized += 1
    # Two moments of Λ's two weights, B and C, and of the LRU's γ.
    assert resized >= 12

    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        ops.convert_to_numpy(loaded(x)), ops.convert_to_numpy(model(x)), atol=1e-6
    )
    loaded.fit(x, y, verbose=0)


@pytest.mark.slow
def test_each_time_it_becomes_smaller():
    x, y = data()
    model = compiled(heads())
    model(x)
    paths = [weight.path for weight in model.weights]
    reduce = ReduceStates([1, 2], tolerance=0.5, calibration=x, verbose=1)
    model.fit(x, y, batch_size=4, epochs=3, verbose=0, callbacks=[reduce])
    first, second = (reduce.reduced[epochs] for epochs in (1, 2))
    for path, b in second.items():
        assert b.state_size <= first[path].state_size < STATES
        assert len(b.singular_values) == first[path].state_size
    assert [weight.path for weight in model.weights] == paths
    found = [second[path].state_size for path in sorted(second)]
    assert model.backbone.get_config()["state_size"] == found


def small():
    return keras.Sequential([recurrence(), keras.layers.Dense(3)])


def trained(optimizer, **options):
    """A model of which states went after the first of two epochs."""
    x = data()[0]
    keras.utils.set_random_seed(0)
    model = small()
    model.compile(optimizer, "mse")
    model.fit(
        x,
        np.zeros((len(x), 20, 3), "float32"),
        batch_size=4,
        epochs=2,
        verbose=0,
        callbacks=[ReduceStates([1], state_size=5, calibration=x)],
        **options,
    )
    return model


def test_averages_of_weights_go_on_from_the_new_ones():
    # Nothing is learned: averages are the weights, to the rounding of a sum.
    model = trained(keras.optimizers.SGD(0.0, use_ema=True, ema_momentum=0.9))
    expected = trained(keras.optimizers.SGD(0.0))
    for average, weight in zip(model.weights, expected.weights, strict=True):
        np.testing.assert_allclose(
            ops.convert_to_numpy(average), ops.convert_to_numpy(weight), rtol=1e-5
        )


def test_the_optimizer_stays_the_object_that_it_is():
    optimizer = keras.optimizers.AdamW(0.01)
    optimizer.exclude_from_weight_decay(var_names=["nu_log"])
    model = trained(optimizer)
    assert model.optimizer is optimizer
    assert int(optimizer.iterations) == 4
    decays = {w.name: optimizer._use_weight_decay(w) for w in model.trainable_weights}
    assert (decays["nu_log"], decays["B_re"]) == (False, True)


@pytest.mark.slow
def test_a_scaled_loss_too():
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
    inner = optimizer.inner_optimizer
    model = trained(optimizer)
    assert model.optimizer is optimizer
    assert optimizer.inner_optimizer is inner
    assert int(inner.iterations) == 4


def test_bad_arguments_are_refused():
    for epochs in (3, [], [0], ["1"]):
        with pytest.raises(ValueError, match="`epochs` must be"):
            ReduceStates(epochs, state_size=4)
    with pytest.raises(ValueError, match="Give one of `state_size` and `tolerance`"):
        ReduceStates([1])
    with pytest.raises(ValueError, match="`length` must be a positive integer"):
        ReduceStates([1], state_size=4, length=0)


class Own(keras.layers.Layer):
    """A layer whose config this package does not know."""

    def __init__(self):
        super().__init__()
        self.inner = LRU(3, STATES, seed=0)

    def build(self, input_shape):
        self.inner.build(input_shape)

    def call(self, inputs):
        return self.inner(inputs)


def test_what_cannot_be_reduced_is_refused_before_training():
    x, y = data()
    for model, optimizer, message in (
        (keras.layers.LSTM(3), "adam", "must hold an LRU or an S5"),
        (LRU(3, stateful=True, seed=0), "adam", "must have `stateful=False`"),
        (Own(), "adam", "made of them by layers and models .* Own "),
        (LRU(3, seed=0), "ftrl", "Received: Ftrl"),
    ):
        model = keras.Sequential([keras.Input(batch_shape=(4, 20, 2)), model])
        model.compile(optimizer, "sparse_categorical_crossentropy")
        with pytest.raises(ValueError, match=message):
            model.fit(
                x,
                y,
                batch_size=4,
                verbose=0,
                # No epoch is trained in which it would be found.
                epochs=1,
                callbacks=[ReduceStates([2], state_size=2)],
            )
