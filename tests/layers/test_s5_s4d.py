"""S5 and S4D: what they share with the LRU layer, against the float64 loop."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops
from keras.src import testing

from keras_lru import LRUBackbone, ResidualBlock
from keras_lru.layers import S4D, S5, S4DCell, S5Cell
from keras_lru.training import RECURRENT_VARIABLES

from .lru_reference import (
    BATCH,
    CLOSE,
    FEATURES,
    MASKS,
    TIME,
    check,
    check_gradients,
    cotangents,
    gradients,
    initial_state,
    inputs,
    numpy_of,
    reference,
    weights_of,
)

LAYERS = {"s5": S5, "s4d": S4D}
CELLS = {"s5": S5Cell, "s4d": S4DCell}
SIZES = {
    "s5": {"units": 3, "state_size": 4, "dt_min": 0.05, "dt_max": 0.8},
    "s4d": {"units": FEATURES, "state_size": 6, "dt_min": 0.05, "dt_max": 0.8},
}
STATES = {"s5": 2, "s4d": 6}
ALL = {"return_sequences": True, "return_state": True}
WEIGHTS = {
    "s5": ["lambda_re", "lambda_im", "log_delta", "B_re", "B_im", "C_re", "C_im", "D"],
    "s4d": ["nu_log", "lambda_im", "log_delta", "C_re", "C_im", "D"],
}

both = pytest.mark.parametrize("kind", LAYERS)


def make(kind, built=True, **kwargs):
    layer = LAYERS[kind](**{**SIZES[kind], "seed": 1, **kwargs})
    if built:
        layer.build((BATCH, None, FEATURES))
    return layer


def start(kind):
    return initial_state(states=STATES[kind])


def sequential(kind, time=None, **kwargs):
    return keras.Sequential(
        [keras.Input((time, FEATURES)), make(kind, built=False, **kwargs)]
    )


def assert_close(found, expected):
    np.testing.assert_allclose(numpy_of(found), numpy_of(expected), **CLOSE)


# Outputs, states, gradients


@both
def test_compiled_model_with_states(kind):
    layer = make(kind, **ALL)
    sequence = keras.Input((None, FEATURES))
    state = [keras.Input((STATES[kind],)) for _ in range(2)]
    model = keras.Model([sequence, *state], layer(sequence, initial_state=state))
    expected, last = reference(layer, inputs(), start(kind))
    found = model.predict([inputs(), *start(kind)], verbose=0)
    for a, b in zip(found, [expected, *last], strict=True):
        assert_close(a, b)


@pytest.mark.slow
@both
def test_outputs_and_states(kind):
    check(make(kind, **ALL), inputs(), start(kind), MASKS["holes"])


@pytest.mark.slow
@both
def test_gradients(kind):
    layer = make(kind, **ALL)
    check_gradients(layer, cotangents(layer), inputs(), start(kind))


@pytest.mark.slow
@both
@pytest.mark.parametrize(
    "kwargs",
    [
        {"return_sequences": False, "go_backwards": True},
        {"zero_output_for_mask": True},
        {"scan": "sequential", "block_size": 1},
        {"scan": "associative", "block_size": 3},
    ],
    ids=str,
)
def test_variants(kind, kwargs):
    layer = make(kind, **{**ALL, **kwargs})
    check(layer, inputs(), start(kind))
    for name in ("right", "left", "holes", "whole rows"):
        check(layer, inputs(), mask=MASKS[name])
    weights = cotangents(layer)
    check_gradients(layer, weights, inputs(), start(kind), MASKS["holes"])


@pytest.mark.slow
@both
def test_lengths(kind):
    layer = make(kind, **ALL)
    for time in (0, 1, 65, 130):
        check(layer, inputs(time), start(kind))


@pytest.mark.slow
@both
def test_any_split_gives_the_whole(kind):
    layer = make(kind, **ALL)
    expected, last = reference(layer, inputs(), start(kind))

    @settings(deadline=None, max_examples=5)
    @given(cut=st.integers(0, TIME))
    def split(cut):
        first, *state = layer(inputs()[:, :cut], initial_state=start(kind))
        second, *state = layer(inputs()[:, cut:], initial_state=state)
        whole = np.concatenate([numpy_of(first), numpy_of(second)], axis=1)
        assert_close(whole, expected)
        assert_close(np.stack([numpy_of(s) for s in state]), np.stack(last))

    split()


@pytest.mark.slow
@both
def test_stateful(kind):
    layer = make(kind, stateful=True, return_sequences=True)
    expected, last = reference(layer, inputs())
    pieces = [layer(inputs()[:, :4]), layer(inputs()[:, 4:])]
    assert_close(np.concatenate([numpy_of(y) for y in pieces], axis=1), expected)
    assert_close(np.stack([numpy_of(s) for s in layer.states]), np.stack(last))
    assert [w.name for w in layer.weights] == WEIGHTS[kind]


@pytest.mark.slow
@both
def test_long_memory(kind):
    """The published initial values, over as many steps as the longest memory."""
    sizes = {"state_size": 32, "dt_min": 0.001, "dt_max": 0.1}
    # States of size 30, sums of 1000 terms: three digits of float32 are gone.
    close = {"rtol": 1e-3, "atol": 1e-3}
    check(make(kind, **sizes, **ALL), inputs(1000), close=close)


def extreme(layer):
    """Weights at which `layer` is still stable, one after the other."""
    for weight in (layer.cell.lambda_im, layer.cell.log_delta):
        kept = numpy_of(weight)
        for value in (1e4, -1e4, 0.0):
            weight.assign(np.full(weight.shape, value))
            yield weight.name, value
        weight.assign(kept)


@pytest.mark.slow
@both
def test_extreme_weights_are_finite(kind):
    layer = make(kind, **ALL)
    for name, value in extreme(layer):
        for y in layer(inputs(), initial_state=start(kind)):
            assert np.isfinite(numpy_of(y)).all(), (name, value)


@pytest.mark.slow
@both
def test_gradients_are_finite_at_extreme_weights(kind):
    layer = make(kind, **ALL)
    for name, value in extreme(layer):
        for gradient in gradients(layer, cotangents(layer), inputs()).values():
            assert np.isfinite(gradient).all(), (name, value)


# The cell


@both
def test_steps_of_the_cell_give_the_whole_sequence(kind):
    layer = make(kind, **ALL)
    cell = CELLS[kind](**SIZES[kind], seed=1)
    states, outputs = start(kind), []
    for t in range(3):
        y, states = cell(inputs()[:, t], states)
        outputs.append(numpy_of(y))
    expected, last = reference(layer, inputs()[:, :3], start(kind))
    assert_close(np.stack(outputs, axis=1), expected)
    assert_close(np.stack([numpy_of(s) for s in states]), np.stack(last))


@pytest.mark.slow
@both
def test_loop_over_the_cell_equals_the_layer(kind, tmp_path):
    options = {**ALL, "zero_output_for_mask": True}
    rnn = keras.layers.RNN(CELLS[kind](**SIZES[kind], seed=2), **options)
    layer = make(kind, **options)
    sequence = keras.Input((None, FEATURES))
    model = keras.Model(sequence, rnn(sequence))
    rnn.set_weights(layer.get_weights())
    for mask in (None, MASKS["holes"]):
        for a, b in zip(
            rnn(inputs(), mask=mask), layer(inputs(), mask=mask), strict=True
        ):
            assert_close(a, b)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_close(loaded(inputs())[0], layer(inputs())[0])


# Dtypes


@pytest.mark.slow
@both
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_half(kind, policy):
    layer = make(kind, dtype=policy, **ALL)
    assert {w.dtype for w in layer.weights} == {"float32"}
    y, *last = layer(inputs(), initial_state=start(kind))
    half = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(y.dtype) == half
    assert {keras.backend.standardize_dtype(s.dtype) for s in last} == {"float32"}
    expected, expected_last = reference(layer, inputs(), start(kind))
    # Rounding of inputs, matrices and outputs, of sums of some 10 products of size 1.
    eps = {"bfloat16": 2**-8, "float16": 2**-11}[half]
    # Where outputs are larger than 1, so are roundings: four of eps / 2 a product.
    tolerance = {"atol": 10 * eps, "rtol": 2 * eps}
    np.testing.assert_allclose(numpy_of(y), expected, **tolerance)
    for a, b in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(numpy_of(a), b, **tolerance)
    cell = CELLS[kind](**SIZES[kind], seed=1, dtype=policy)
    y, states = cell(inputs()[:, 0], start(kind))
    assert keras.backend.standardize_dtype(y.dtype) == half
    expected, _ = reference(layer, inputs()[:, :1], start(kind))
    np.testing.assert_allclose(numpy_of(y), expected[:, 0], **tolerance)
    assert {keras.backend.standardize_dtype(s.dtype) for s in states} == {"float32"}


@pytest.mark.slow
@both
def test_half_keeps_slow_eigenvalues(kind):
    """bfloat16 rounds |λ| = 0.9995 to 1: over 1000 steps nothing would decay."""
    layer = make(
        kind, dtype="mixed_bfloat16", dt_min=0.001, dt_max=0.001, return_state=True
    )
    zeros = np.zeros((BATCH, 1000, FEATURES), "float32")
    _, x_re, x_im = layer(zeros, initial_state=start(kind))
    after = np.hypot(numpy_of(x_re), numpy_of(x_im))
    expected = np.exp(-0.5) * np.hypot(*start(kind))
    np.testing.assert_allclose(after, expected, rtol=1e-3)


# In Keras


@both
def test_weights(kind):
    layer = make(kind, name="my")
    assert [w.name for w in layer.weights] == WEIGHTS[kind]
    assert [w.path for w in layer.weights] == [
        f"my/{kind}_cell/{name}" for name in WEIGHTS[kind]
    ]
    # The optimizer treats apart what the paper names: A, B and Δ.
    recurrent = [n for n in WEIGHTS[kind] if n in RECURRENT_VARIABLES]
    assert recurrent == [n for n in WEIGHTS[kind] if n not in ("C_re", "C_im", "D")]
    for a, b in zip(layer.get_weights(), make(kind).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    others = make(kind, seed=2)
    for name in ("log_delta", "C_re", "D"):
        assert not np.allclose(weights_of(layer)[name], weights_of(others)[name])


@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.slow
@both
def test_gauntlet(kind):
    testing.TestCase().run_layer_test(
        LAYERS[kind],
        init_kwargs={
            **SIZES[kind],
            "return_sequences": True,
            "recurrent_regularizer": "l2",
            "output_regularizer": "l1",
        },
        input_shape=(3, 4, FEATURES),
        expected_output_shape=(3, 4, SIZES[kind]["units"]),
        expected_num_trainable_weights=len(WEIGHTS[kind]),
        expected_num_non_trainable_weights=0,
        expected_num_seed_generators=0,
        expected_num_losses=4,
        supports_masking=True,
    )


@both
def test_config_round_trip(kind):
    layer = make(
        kind,
        built=False,
        go_backwards=True,
        scan="chunked",
        block_size=3,
        dtype="mixed_bfloat16",
        output_initializer="ones",
        recurrent_constraint="non_neg",
        feedthrough_regularizer=keras.regularizers.L2(0.1),
        activity_regularizer="l2",
    )
    config = layer.get_config()
    copy = LAYERS[kind].from_config(config)
    assert copy.get_config() == config
    assert config["state_size"] == SIZES[kind]["state_size"]
    assert copy.compute_dtype == copy.cell.compute_dtype == "bfloat16"
    name = keras.saving.get_registered_name(LAYERS[kind])
    assert name == f"keras_lru>{LAYERS[kind].__name__}"
    cell = layer.cell
    assert CELLS[kind].from_config(cell.get_config()).get_config() == cell.get_config()


@pytest.mark.slow
@both
def test_one_model_for_any_length_and_its_file(kind, tmp_path):
    model = sequential(kind, return_sequences=True, seed=None)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for time in (1, 7, 100):
        expected, _ = reference(model.layers[0], inputs(time))
        for each in (model, loaded):
            assert_close(each.predict(inputs(time), verbose=0), expected)


@pytest.mark.slow
@both
def test_compiled_function_of_unknown_sizes(kind, backend):
    if backend != "tensorflow":
        pytest.skip("JAX compiles for known sizes only")
    import tensorflow as tf

    layer = make(kind, return_sequences=True)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, FEATURES)),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def function(x, mask):
        return layer(x, mask=mask)

    for time in (0, 1, 7, 100):
        mask = np.resize(MASKS["holes"], (BATCH, time))
        expected, _ = reference(layer, inputs(time), mask=mask)
        assert_close(function(inputs(time), mask), expected)


@pytest.mark.slow
@both
def test_bidirectional(kind):
    wrapper = keras.layers.Bidirectional(
        make(kind, built=False, return_sequences=True, seed=None), merge_mode="sum"
    )
    y = wrapper(inputs(), mask=MASKS["right"])
    forward, backward = (
        reference(layer, inputs(), mask=MASKS["right"])[0]
        for layer in (wrapper.forward_layer, wrapper.backward_layer)
    )
    assert_close(y, forward + backward[:, ::-1])


@pytest.mark.slow
@both
def test_training_a_bidirectional_block(kind):
    layer = make(kind, built=False, units=FEATURES, return_sequences=True)
    block = ResidualBlock(layer, bidirectional=True)
    model = keras.Sequential([keras.Input((TIME, FEATURES)), block])
    model.compile(keras.optimizers.SGD(0.1), "mse")
    before = model.get_weights()
    losses = [model.train_on_batch(inputs(), np.zeros((BATCH, TIME, 2)))]
    losses += [model.train_on_batch(inputs(), np.zeros((BATCH, TIME, 2)))]
    assert losses[1] < losses[0]
    for old, new, weight in zip(
        before, model.get_weights(), model.weights, strict=True
    ):
        assert not np.array_equal(old, new), weight.path


@pytest.mark.slow
@both
def test_backbone(kind):
    template = make(kind, built=False, units=4, return_sequences=True, seed=None)
    backbone = LRUBackbone(2, 4, recurrence=template, seed=0, dropout=0.1)
    model = keras.Sequential([keras.Input((None, FEATURES)), backbone])
    model.compile("adam", "mse")
    history = model.fit(inputs(), np.zeros((BATCH, TIME, 4)), epochs=2, verbose=0)
    assert np.isfinite(history.history["loss"]).all()
    first, second = (block.recurrence.get_weights() for block in backbone.blocks)
    assert not np.allclose(first[-1], second[-1])


# Errors

COMMON_ERRORS = [
    ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
    ({"state_size": -2}, "`state_size` must be a positive integer.*state_size=-2"),
    ({"state_size": 3}, "`state_size` must be divisible by 2, .*state_size=3"),
    ({"dt_min": 0}, "`dt_min` must be a finite number > 0. Received: dt_min=0"),
    ({"dt_min": 1, "dt_max": 0.1}, "`dt_min` must not be larger than `dt_max`"),
    ({"seed": 1.5}, r"`seed` must be an integer or None.*seed=1\.5"),
    ({"bias": True}, "bias"),
    ({"output_initializer": "no_such"}, "no_such"),
]
CELL_ERRORS = {
    "s5": [
        ({"blocks": 0}, "`blocks` must be a positive integer. Received: blocks=0"),
        (
            {"state_size": 6, "blocks": 2},
            "`state_size` must be divisible by 2 · `blocks` = 4, .*state_size=6",
        ),
        (
            {"state_size": 3, "blocks": 2, "conjugate_symmetry": False},
            "`state_size` must be divisible by `blocks` = 2. Received: state_size=3",
        ),
        ({"feedthrough": "dense"}, "`feedthrough` must be one of .*'dense'"),
    ],
    "s4d": [({"initialization": "fou"}, "`initialization` must be one of .*'fou'")],
}
LAYER_ERRORS = [
    ({"scan": "fast"}, "`scan` must be one of .*'fast'"),
    ({"block_size": 0}, "`block_size` must be .*block_size=0"),
    ({"unroll": True}, "`unroll` is not an argument of S.*unroll=True"),
]


@both
def test_bad_arguments(kind):
    cell_errors = [*COMMON_ERRORS, *CELL_ERRORS[kind]]
    for make_it, errors in (
        (LAYERS[kind], [*cell_errors, *LAYER_ERRORS]),
        (CELLS[kind], cell_errors),
    ):
        for arguments, message in errors:
            with pytest.raises(ValueError, match=message):
                make_it(**{**SIZES[kind], **arguments})


@both
def test_bad_inputs(kind):
    layer = make(kind, built=False)
    with pytest.raises(ValueError, match=r"expected ndim=3.*received"):
        layer(inputs()[0])
    with pytest.raises(ValueError, match=r"last dimension of `inputs`.*\(None, None\)"):
        layer(keras.Input((5, None)))
    layer = make(kind)
    with pytest.raises(ValueError, match=r"`mask` must be .*\(3, 7\)"):
        layer(inputs(), mask=ops.ones((BATCH, TIME + 1), "bool"))
    with pytest.raises(ValueError, match=r"`initial_state` must be a list"):
        layer(inputs(), initial_state=start(kind)[:1])
    with pytest.raises(ValueError, match=r"`initial_state` must be a tensor of shape"):
        layer(inputs(), initial_state=initial_state(states=1))
    with pytest.raises(ValueError, match=r"do not exist yet.*build"):
        _ = make(kind, built=False).eigenvalues


def test_s4d_needs_as_many_features_as_units():
    with pytest.raises(ValueError, match=r"`units` .*units=3, inputs of 2 features"):
        make("s4d", built=False, units=3)(inputs())


def test_s5_vector_feedthrough_of_other_dimensions():
    message = '`feedthrough="vector"` .*units=3, inputs of 2 features'
    with pytest.raises(ValueError, match=message):
        make("s5", built=False, feedthrough="vector")(inputs())
