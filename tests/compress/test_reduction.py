"""The same models with fewer states."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import layers
from keras_lru.compress import reduce_states
from keras_lru.models import LRUBackbone, SequenceClassifier
from keras_lru.training import compile_recommended

STATES = 12
SIZES = {"depth": 2, "units": 6, "state_size": STATES, "seed": 0}


def lru(units=5, **options):
    options = {"r_max": 0.95, "return_sequences": True, "seed": 0, **options}
    return layers.LRU(units, STATES, **options)


MODELS = {
    "lru": lru,
    "exp": lambda: lru(parameterization="exp"),
    "real_imag": lambda: lru(parameterization="real_imag", normalize=False),
    "s5": lambda: layers.S5(5, 2 * STATES, blocks=2, return_sequences=True, seed=0),
    "s5 alone": lambda: layers.S5(
        5, STATES, conjugate_symmetry=False, clip_eigenvalues=True, seed=0
    ),
    "cell": lambda: keras.layers.RNN(layers.LRUCell(5, STATES, seed=0)),
    "both ways": lambda: keras.layers.Bidirectional(lru()),
    "block": lambda: layers.ResidualBlock(lru(3), bidirectional=True),
    "one line": lambda: layers.LRUBlock(5, STATES, seed=0),
    "backbone": lambda: LRUBackbone(**SIZES),
    "template": lambda: SequenceClassifier(
        3, depth=2, units=6, recurrence=lru(6), seed=0
    ),
    "sequential": lambda: keras.Sequential(
        [lru(), keras.layers.Dense(3), layers.S5(4, 2 * STATES, seed=0)]
    ),
}


def inputs(steps=40):
    return np.random.default_rng(0).normal(size=(3, steps, 3)).astype("float32")


def numpy_of(x):
    return ops.convert_to_numpy(x)


OTHERS = ("both ways", "cell", "backbone")
FAST = ("lru", "s5", "block", "backbone", "sequential")


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in MODELS
    ],
)
def model(request):
    model = MODELS[request.param]()
    model(inputs())
    return model


def test_without_tolerance_nothing_is_lost(model):
    reduced = reduce_states(model, tolerance=0, data=inputs())
    assert reduced.error == 0
    assert {layer.state_size for layer in reduced.layers.values()} == {STATES}
    assert all(layer.bound == 0 for layer in reduced.layers.values())


def test_most_of_the_outputs_is_in_half_of_the_states(model):
    before = [numpy_of(w) for w in model.weights]
    reduced = reduce_states(model, state_size=STATES // 2, data=inputs())
    assert 0 < reduced.error < 0.5
    for layer in reduced.layers.values():
        assert layer.state_size == STATES // 2
        assert layer.singular_values.shape == (STATES,)
        assert (np.diff(layer.singular_values) <= 0).all()
        assert layer.bound == 2 * layer.singular_values[STATES // 2 :].sum()
    assert reduced.model.count_params() < model.count_params()
    for weight, value in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(numpy_of(weight), value)


def test_one_layer_keeps_its_bound():
    layer, x = lru(), inputs(400)
    layer(x)
    reduced = reduce_states(layer, tolerance=0.2)
    ((_, report),) = reduced.layers.items()
    assert 1 <= report.state_size < STATES
    assert report.bound <= 0.2 * report.singular_values[0]
    change = numpy_of(layer(x)) - numpy_of(reduced.model(x))
    gain = np.sqrt(np.sum(change**2, (1, 2)) / np.sum(x.astype("float64") ** 2, (1, 2)))
    assert (gain <= report.bound).all()


def test_states_that_do_nothing_cost_nothing():
    layer, x = lru(), inputs()
    layer(x)
    C = numpy_of(layer.cell.C_re).copy()
    C[3:] = 0
    layer.cell.C_re.assign(C)
    layer.cell.C_im.assign(C)
    reduced = reduce_states(layer, tolerance=1e-6, data=x)
    assert reduced.model.cell.num_states == 3
    # float32.
    assert reduced.error < 1e-5


def test_blocks_may_differ_and_are_saved_so(tmp_path):
    model = SequenceClassifier(3, **SIZES)
    model(inputs())
    reduced = reduce_states(model, state_size=5, layers=["block_1"], data=inputs())
    assert list(reduced.layers) == [p for p in reduced.layers if "block_1" in p]
    assert reduced.model.backbone.get_config()["state_size"] == [STATES, 5]
    path = tmp_path / "small.keras"
    reduced.model.save(path)
    loaded = keras.models.load_model(path)
    found, expected = (numpy_of(m(inputs())) for m in (loaded, reduced.model))
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_small_model_is_trained_on():
    model = SequenceClassifier(3, **SIZES)
    model(inputs())
    small = reduce_states(model, state_size=4).model
    small.compile(
        keras.optimizers.Adam(0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    history = small.fit(inputs(), np.arange(3), epochs=20, verbose=0).history
    assert history["loss"][-1] < 0.5 * history["loss"][0]


def test_a_functional_model_keeps_its_other_layers():
    x = keras.Input((None, 3))
    y = layers.LRUBlock(6, STATES, return_sequences=True, name="first")(x)
    y = keras.layers.LayerNormalization()(y)
    outputs = keras.layers.Dense(2)(layers.LRU(4, STATES, name="second")(y))
    model = keras.Model(x, outputs)
    reduced = reduce_states(model, state_size=6, layers=["second"], data=inputs())
    assert [layer.name for layer in reduced.model.layers] == [
        layer.name for layer in model.layers
    ]
    assert reduced.model.get_layer("second").cell.num_states == 6
    assert reduced.model.get_layer("first").state_size == STATES
    assert reduced.error < 0.3


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Give one of `state_size` and `tolerance`"),
        ({"state_size": 3, "tolerance": 0.1}, "Give one of"),
        ({"state_size": 0}, "`state_size` must be a positive integer"),
        ({"tolerance": -1.0}, "`tolerance` must be a non-negative number.*-1"),
        ({"tolerance": float("nan")}, "`tolerance` must be a non-negative number"),
        ({"state_size": 3, "layers": ["other"]}, r"`layers` must be names.*'other'"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    layer = lru()
    layer(inputs())
    with pytest.raises(ValueError, match=message):
        reduce_states(layer, **options)


def test_what_has_no_states_to_lose_is_refused():
    with pytest.raises(ValueError, match="`model` must be a built layer"):
        reduce_states(lru(), state_size=3)
    dense = keras.Sequential([keras.layers.Dense(3)])
    dense(inputs())
    with pytest.raises(ValueError, match="`model` must hold an LRU or an S5"):
        reduce_states(dense, state_size=3)

    class Own(keras.layers.Layer):
        def __init__(self):
            super().__init__(name="own")
            self.lru = lru()

        def call(self, x):
            return self.lru(x)

    own = Own()
    own(inputs())
    with pytest.raises(ValueError, match=r"Sequential or functional\. .*Own 'own'"):
        reduce_states(own, state_size=3)


def test_the_layer_that_never_forgets_is_named():
    model = keras.Sequential([lru(parameterization="real_imag", name="keeps")])
    model(inputs())
    model.layers[0].cell.lambda_re.assign(np.ones(STATES, "float32"))
    with pytest.raises(ValueError, match=r"'.*keeps.*' cannot be reduced: .*unit circ"):
        reduce_states(model, state_size=3)


@pytest.mark.slow
def test_digits_are_read_with_half_of_the_states():
    from sklearn import datasets

    pixels, labels = datasets.load_digits(return_X_y=True)
    pixels = (pixels[..., None] / 8.0 - 1.0).astype("float32")
    test = np.arange(len(labels)) % 5 == 0
    model = SequenceClassifier(10, depth=2, units=32, state_size=32, seed=0)
    keras.utils.set_random_seed(0)
    model.build((None, 64, 1))
    model = compile_recommended(model, total_steps=12 * 29)
    model.fit(pixels[~test], labels[~test], batch_size=50, epochs=12, verbose=0)
    train = pixels[~test][:200]
    small = reduce_states(model, state_size=16, calibration=train).model
    before, after = (
        np.mean(m.predict(pixels[test], verbose=0).argmax(-1) == labels[test])
        for m in (model, small)
    )
    assert before > 0.93
    # Half a point, and a digit.
    assert after > before - 0.008


@pytest.mark.parametrize(
    "name", ["lru", *(pytest.param(n, marks=pytest.mark.slow) for n in OTHERS)]
)
def test_calibrated_states_lose_less_on_such_inputs(name):
    model = MODELS[name]()
    # One slow wave: few states are reached.
    phase = np.random.default_rng(0).uniform(0, 6, (8, 1))
    x = np.sin(np.arange(60) / 8 + phase)[..., None] * [1.0, 0.5, -0.3] + 1.0
    x = x.astype("float32")
    model(x)
    options = {"state_size": 3, "data": x[:3]}
    plain = reduce_states(model, **options)
    found = reduce_states(model, calibration=x[3:], **options)
    assert found.error < 0.7 * plain.error
    assert all(layer.bound is None for layer in found.layers.values())


def test_padding_is_no_calibration():
    x = inputs(20)
    layer = lru()
    model = keras.Sequential([keras.layers.Masking(), layer])
    model(x)
    padded = np.concatenate([x, np.zeros_like(x)], axis=1)
    found, expected = (
        numpy_of(reduce_states(model, state_size=4, calibration=data).model(x))
        for data in (padded, x)
    )
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_what_happens_after_the_end_does_not_count():
    layer, x = lru(r_min=0.9, r_max=0.9999), inputs(10)
    layer(x)
    long, short = (
        reduce_states(layer, state_size=6, data=x, length=length)
        for length in (None, 10)
    )
    assert short.error < 0.9 * long.error


def reached(layer, **arguments):
    """The singular values of a layer, calibrated by a call with arguments."""
    given = {
        name: keras.Input(value.shape[1:], dtype=value.dtype)
        for name, value in arguments.items()
    }
    x = keras.Input((40, 3))
    model = keras.Model([x, *given.values()], layer(x, **given))
    reduced = reduce_states(
        model, tolerance=0, calibration=[inputs(), *arguments.values()]
    )
    ((_, report),) = reduced.layers.items()
    return report.singular_values


def test_calibration_knows_when_steps_are():
    layer = lru()
    sizes = np.ones((3, 40), "float32")
    plain = reached(layer)
    np.testing.assert_allclose(reached(layer, step_sizes=sizes), plain, rtol=1e-4)
    anew = np.ones((3, 40), bool)
    for changed in ({"step_sizes": 5 * sizes}, {"reset": anew}):
        assert np.abs(reached(layer, **changed) / plain - 1).max() > 0.05


def test_calibration_sees_all_calls_of_a_layer():
    shared = lru(name="shared")
    x, y = keras.Input((40, 3)), keras.Input((40, 3))
    model = keras.Model([x, y], keras.layers.Concatenate()([shared(x), shared(y)]))
    data = [inputs(), 0 * inputs()]
    one = reduce_states(model, state_size=4, calibration=data, data=data)
    other = reduce_states(model, state_size=4, calibration=data[::-1], data=data)
    assert one.error < 0.3
    np.testing.assert_allclose(one.error, other.error, rtol=1e-3)
    with pytest.raises(ValueError, match=r"reach no state: they are zero"):
        reduce_states(model, state_size=4, calibration=[0 * inputs()] * 2)


def test_kept_states_stay_and_do_not_count():
    layer = lru(stateful=True)
    layer(inputs())
    before = [numpy_of(state) for state in layer.states]
    reduced = reduce_states(layer, state_size=6, data=inputs(), calibration=inputs())
    for state, value in zip(layer.states, before, strict=True):
        np.testing.assert_array_equal(numpy_of(state), value)
    plain = lru()
    plain(inputs())
    expected = reduce_states(plain, state_size=6, data=inputs(), calibration=inputs())
    np.testing.assert_allclose(reduced.error, expected.error, rtol=1e-3)
    assert not any(numpy_of(state).any() for state in reduced.model.states)


def test_operations_of_a_functional_model_stay():
    x = keras.Input((40,), dtype="int32")
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(x)
    model = keras.Model(x, lru()(embedded * 2.0))
    tokens = np.random.default_rng(0).integers(0, 9, (3, 40))
    reduced = reduce_states(model, state_size=6, data=tokens)
    assert reduced.error < 0.5


def test_directions_may_differ():
    layer = keras.layers.Bidirectional(
        lru(),
        backward_layer=layers.LRU(5, 20, go_backwards=True, return_sequences=True),
    )
    layer(inputs())
    small = reduce_states(layer, state_size=8).model
    assert small.forward_layer.cell.num_states == 8
    assert small.backward_layer.cell.num_states == 8
    half = reduce_states(layer, state_size=15).model
    assert half.forward_layer.cell.num_states == STATES
    assert half.backward_layer.cell.num_states == 15


def test_frozen_parts_stay_frozen():
    model = SequenceClassifier(3, **SIZES)
    model(inputs())
    model.backbone.blocks[0].trainable = False
    small = reduce_states(model, state_size=5).model
    assert len(small.trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize("names", ["lru", []])
def test_names_of_layers_are_a_list(names):
    layer = lru()
    layer(inputs())
    with pytest.raises(ValueError, match="`layers` must be a list of names"):
        reduce_states(layer, state_size=3, layers=names)
