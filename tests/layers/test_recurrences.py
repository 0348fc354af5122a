"""The dense RNN and the RG-LRU: numbers, masks, states, and what Keras asks of them."""

import itertools

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from keras.src import testing

from keras_lru.export import export_saved_model
from keras_lru.layers import ResidualBlock
from keras_lru.models import LRUBackbone

from ..export.serving import serve_elsewhere
from . import lru_reference
from .lru_reference import BATCH, CLOSE, MASKS, TIME, gradients, numpy_of
from .recurrence_reference import FEATURES, KINDS, UNITS, sequential


@pytest.fixture(params=KINDS)
def kind(request):
    return KINDS[request.param]


def inputs(time=TIME, batch=BATCH, seed=0):
    return lru_reference.inputs(time, batch, FEATURES, seed)


def assert_same(a, b):
    np.testing.assert_allclose(numpy_of(a), numpy_of(b), rtol=1e-6, atol=1e-6)


# Against the loop


@pytest.mark.parametrize("time", [0, 1, TIME])
def test_outputs_and_state(kind, time):
    for return_sequences in (True, False):
        layer = kind.make(return_state=True, return_sequences=return_sequences)
        kind.check(layer, inputs(time))
        kind.check(layer, inputs(time), kind.state())


@pytest.mark.parametrize(
    ("return_sequences", "mask"),
    [
        (True, "holes"),
        (False, None),
        pytest.param(True, None, marks=pytest.mark.slow),
        pytest.param(False, "holes", marks=pytest.mark.slow),
    ],
)
def test_gradients(kind, return_sequences, mask):
    layer = kind.make(return_state=True, return_sequences=return_sequences)
    kind.check_gradients(layer, inputs(), kind.state(), MASKS.get(mask))


@settings(deadline=None, max_examples=8)
@given(
    mask=arrays(bool, (BATCH, TIME)) | st.sampled_from(list(MASKS.values())),
    has_state=st.booleans(),
    flags=st.fixed_dictionaries(
        {
            name: st.booleans()
            for name in ("return_sequences", "go_backwards", "zero_output_for_mask")
        }
    ),
)
@pytest.mark.parametrize("name", KINDS)
def test_any_mask(name, mask, has_state, flags):
    kind = KINDS[name]
    layer = kind.make(return_state=True, **flags)
    kind.check(layer, inputs(), kind.state() if has_state else None, mask)


@pytest.mark.slow
@pytest.mark.parametrize("zero_output_for_mask", [True, False])
@pytest.mark.parametrize("return_sequences", [True, False])
def test_every_shape_of_mask(kind, return_sequences, zero_output_for_mask):
    layer = kind.make(
        return_sequences=return_sequences,
        zero_output_for_mask=zero_output_for_mask,
        return_state=True,
    )
    for mask, state in itertools.product(MASKS.values(), (None, kind.state())):
        kind.check(layer, inputs(), state, mask)


def test_masked_values_do_not_matter(kind):
    mask = MASKS["holes"]
    bad = np.where(mask[..., None], inputs(), np.nan).astype("float32")
    layer = kind.make(return_sequences=True, return_state=True)
    weights = [np.ones((BATCH, TIME, UNITS)), np.ones((BATCH, kind.states))]
    clean, dirty = (gradients(layer, weights, x, mask=mask) for x in (inputs(), bad))
    for name in clean:
        np.testing.assert_array_equal(clean[name], dirty[name], err_msg=name)
    assert not dirty["inputs"][~mask].any()
    for a, b in zip(layer(inputs(), mask=mask), layer(bad, mask=mask), strict=True):
        np.testing.assert_array_equal(numpy_of(a), numpy_of(b))


def test_mask_over_no_steps(kind):
    layer = kind.make(return_state=True)
    kind.check(layer, inputs(0), kind.state(), np.ones((BATCH, 0), bool))


# States


@pytest.mark.slow
@settings(deadline=None, max_examples=5)
@given(cuts=st.lists(st.integers(0, TIME), max_size=2))
@pytest.mark.parametrize("name", KINDS)
def test_any_split_gives_the_whole(name, cuts):
    kind = KINDS[name]
    layer = kind.make(return_sequences=True, return_state=True)
    expected, last = kind.reference(layer, inputs(), kind.state())
    state, pieces = kind.state(), []
    for start, stop in itertools.pairwise([0, *sorted(cuts), TIME]):
        y, *state = layer(inputs()[:, start:stop], initial_state=state)
        pieces.append(numpy_of(y))
    np.testing.assert_allclose(np.concatenate(pieces, 1), expected, **CLOSE)
    np.testing.assert_allclose(numpy_of(state[0]), last, **CLOSE)


def test_initial_state_without_a_list(kind):
    """As `keras.layers.GRU` takes it."""
    layer = kind.make()
    (state,) = kind.state()
    expected, _ = kind.reference(layer, inputs(), [state])
    y = layer(inputs(), initial_state=keras.ops.convert_to_tensor(state))
    np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


def test_stateful_under_predict(kind):
    layer = kind.make(built=False, stateful=True, return_sequences=True)
    model = keras.Sequential([keras.Input(batch_shape=(BATCH, 4, FEATURES)), layer])
    whole = inputs(8)
    expected, last = kind.reference(layer, whole)
    pieces = [
        model.predict(x, batch_size=BATCH, verbose=0)
        for x in (whole[:, :4], whole[:, 4:])
    ]
    np.testing.assert_allclose(np.concatenate(pieces, 1), expected, **CLOSE)
    np.testing.assert_allclose(numpy_of(layer.states[0]), last, **CLOSE)
    assert [w.name for w in layer.weights] == kind.weights
    layer.reset_state()
    assert not numpy_of(layer.states[0]).any()


def test_states_as_inputs_and_outputs_of_a_functional_model(kind):
    layer = kind.make(return_state=True, return_sequences=True)
    sequence, state = keras.Input((None, FEATURES)), keras.Input((kind.states,))
    outputs = layer(sequence, initial_state=[state])
    assert [tuple(y.shape) for y in outputs] == [
        (None, None, UNITS),
        (None, kind.states),
    ]
    model = keras.Model([sequence, state], outputs)
    found = model.predict([inputs(), *kind.state()], verbose=0)
    for a, b in zip(found, kind.reference(layer, inputs(), kind.state()), strict=True):
        np.testing.assert_allclose(a, b, **CLOSE)


# Cells


@pytest.mark.parametrize(
    "go_backwards", [True, pytest.param(False, marks=pytest.mark.slow)]
)
def test_loop_over_the_cell_equals_the_layer(kind, go_backwards):
    options = {
        "return_sequences": True,
        "return_state": True,
        "go_backwards": go_backwards,
    }
    rnn = keras.layers.RNN(kind.make_cell(), **options)
    rnn.build((BATCH, None, FEATURES))
    layer = kind.make(**options, seed=2)
    assert [w.name for w in rnn.weights] == [w.name for w in layer.weights]
    layer.set_weights(rnn.get_weights())
    state = kind.state()
    for a, b in zip(
        rnn(inputs(), initial_state=state),
        layer(inputs(), initial_state=state),
        strict=True,
    ):
        np.testing.assert_allclose(numpy_of(a), numpy_of(b), **CLOSE)


def test_same_seed_same_weights_as_the_layer(kind):
    cell = kind.make_cell()
    cell.build((None, FEATURES))
    layer, other = kind.make(), kind.make(seed=2)
    for a, b, c in zip(
        *(each.get_weights() for each in (cell, layer, other)), strict=True
    ):
        np.testing.assert_array_equal(a, b)
        assert not a.any() or not np.allclose(a, c)
    assert [w.name for w in cell.weights] == kind.weights


def test_cell_under_masks_in_the_loop_of_keras(kind, backend):
    # Keras's bug on JAX, where it takes the first state for the last output.
    zeros = backend == "jax" and kind is KINDS["dense"]
    options = {"return_sequences": True, "zero_output_for_mask": zeros}
    rnn = keras.layers.RNN(kind.make_cell(), **options)
    layer = kind.make(**options)
    y, expected = (each(inputs(), mask=MASKS["holes"]) for each in (rnn, layer))
    np.testing.assert_allclose(numpy_of(y), numpy_of(expected), **CLOSE)


def test_cell_keeps_the_dtype_of_a_state(kind):
    cell = kind.make_cell(dtype="mixed_bfloat16")
    (state,) = kind.state()
    for dtype in ("float32", "bfloat16"):
        y, (new,) = cell(inputs()[:, 0], [keras.ops.cast(state, dtype)])
        dtypes = [keras.backend.standardize_dtype(x.dtype) for x in (y, new)]
        assert dtypes == ["bfloat16", dtype]


# Dtypes


@pytest.mark.parametrize("return_sequences", [True, False])
def test_half(kind, return_sequences):
    layer = kind.make(
        return_sequences=return_sequences, return_state=True, dtype="mixed_bfloat16"
    )
    assert {w.dtype for w in layer.weights} == {"float32"}
    y, last = layer(inputs(), initial_state=kind.state(), mask=MASKS["holes"])
    dtypes = [keras.backend.standardize_dtype(x.dtype) for x in (y, last)]
    assert dtypes == ["bfloat16", "float32"]
    expected = kind.reference(layer, inputs(), kind.state(), MASKS["holes"])
    for a, b in zip((y, last), expected, strict=True):
        # Rounding of sums of some 10 products of size 1.
        np.testing.assert_allclose(numpy_of(a), b, atol=10 * 2**-8)


# Models


def test_one_model_for_any_length(kind):
    model = sequential(kind.make(built=False, return_sequences=True))
    for time in (1, TIME):
        expected, _ = kind.reference(model.layers[0], inputs(time))
        y = model.predict(inputs(time), verbose=0)
        np.testing.assert_allclose(y, expected, **CLOSE)


def test_compiled_function_of_unknown_sizes(kind, backend):
    if backend != "tensorflow":
        pytest.skip("JAX compiles for known sizes only")
    import tensorflow as tf

    layer = kind.make()

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, FEATURES)),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def function(x, mask):
        return layer(x), layer(x, mask=mask)

    for time in (0, 1, 7):
        mask = np.resize(MASKS["holes"], (BATCH, time))
        for y, kept in zip(function(inputs(time), mask), (None, mask), strict=True):
            expected, _ = kind.reference(layer, inputs(time), mask=kept)
            np.testing.assert_allclose(numpy_of(y), expected, **CLOSE)


@pytest.mark.parametrize(
    "options",
    [
        {"jit_compile": False},
        pytest.param({"jit_compile": True}, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_training_changes_every_weight(kind, options):
    layer = kind.make(built=False)
    model = sequential(keras.layers.Masking())
    model.add(layer)
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    before = model.get_weights()
    x = np.where(MASKS["holes"][..., None], inputs(), 0).astype("float32")
    loss = [model.train_on_batch(x, np.zeros((BATCH, UNITS))) for _ in range(2)]
    assert loss[1] < loss[0]
    for old, new in zip(before, model.get_weights(), strict=True):
        assert not np.array_equal(old, new)


# Keras's harness trains on a generator with `shuffle` left true.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("kwargs", [{}, {"return_sequences": True, "stateful": True}])
def test_gauntlet(kind, kwargs):
    testing.TestCase().run_layer_test(
        kind.layer,
        init_kwargs={"units": 5, **kwargs},
        input_shape=(3, 4, 5),
        expected_output_shape=(3, 4, 5) if kwargs else (3, 5),
        expected_num_trainable_weights=len(kind.weights),
        expected_num_non_trainable_weights=0,
        expected_num_non_trainable_variables=len(kwargs) // 2,
        supports_masking=True,
    )


def test_files(kind, tmp_path):
    model = sequential(kind.make(built=False, return_sequences=True, seed=None))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(inputs()), model(inputs()))


@pytest.mark.parametrize("return_sequences", [True, False])
def test_bidirectional_of_keras_under_a_mask(kind, return_sequences):
    wrapper = keras.layers.Bidirectional(
        kind.make(built=False, seed=None, return_sequences=return_sequences)
    )
    y = numpy_of(wrapper(inputs(), mask=MASKS["right"]))
    halves = []
    for layer in (wrapper.forward_layer, wrapper.backward_layer):
        half, _ = kind.reference(layer, inputs(), mask=MASKS["right"])
        backwards = layer.go_backwards and return_sequences
        halves.append(half[:, ::-1] if backwards else half)
    np.testing.assert_allclose(y, np.concatenate(halves, -1), **CLOSE)


def test_bidirectional_block_under_a_mask(kind):
    template = kind.make(built=False, return_sequences=True)
    block = ResidualBlock(template, bidirectional=True, normalization=None)
    y = block(inputs(), mask=MASKS["right"])
    keep = MASKS["right"][1]
    alone = block(inputs()[1:2, keep])
    np.testing.assert_allclose(numpy_of(y)[1, keep], numpy_of(alone)[0], **CLOSE)


def test_backbone_learns_and_reloads(kind, tmp_path):
    template = kind.make(built=False, return_sequences=True)
    model = LRUBackbone(2, UNITS, recurrence=template, dropout=0.1, seed=0)
    model.compile("adam", "mse", run_eagerly=True)
    target = np.zeros((BATCH, TIME, UNITS))
    model.fit(inputs(), target, verbose=0)
    first, second = (block.recurrence for block in model.blocks)
    assert isinstance(first, kind.layer)
    assert not np.allclose(first.get_weights()[1], second.get_weights()[1])
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(inputs()), model(inputs()))


# Serving


@pytest.mark.slow
def test_streams_are_served_without_us(tmp_path):
    model = sequential(keras.layers.Masking())
    for kind in KINDS.values():
        model.add(kind.make(built=False, return_sequences=True))
    x = inputs(20)
    x[:, ::3] = 0.0
    export_saved_model(model, tmp_path / "model", verbose=False)
    ways = ([None] * 20, [1, 7, None, 11])
    requests = [(tmp_path / "model", [x], sizes) for sizes in (None, *ways)]
    ((served,), *streamed), complaints = serve_elsewhere(requests, tmp_path)
    assert complaints == []
    expected = x
    for kind, layer in zip(KINDS.values(), model.layers[1:], strict=True):
        expected, _ = kind.reference(layer, expected, mask=x.any(-1))
    np.testing.assert_allclose(served, expected, **CLOSE)
    for (outputs,), sizes in zip(streamed, ways, strict=True):
        steps = [
            y[:, None] if n is None else y for y, n in zip(outputs, sizes, strict=True)
        ]
        np.testing.assert_allclose(np.concatenate(steps, 1), expected, **CLOSE)


# Bad input


def test_wrong_inputs(kind):
    with pytest.raises(ValueError, match=r"expected ndim=3.*received"):
        kind.make(built=False)(np.zeros((3, FEATURES), "float32"))
    with pytest.raises(ValueError, match=r"expected axis -1 .* value 4"):
        kind.make()(np.zeros((3, 7, 5), "float32"))
    with pytest.raises(ValueError, match=r"last dimension of `inputs`"):
        kind.make(built=False)(keras.Input((5, None)))


def test_wrong_state_and_mask(kind):
    name = kind.make_cell().state_names[0]
    with pytest.raises(ValueError, match=rf"`initial_state` must be a list \[{name}\]"):
        kind.make()(inputs(), initial_state=kind.state() * 2)
    wrong = [np.zeros((BATCH, kind.states + 1), "float32")]
    size = kind.states
    with pytest.raises(ValueError, match=rf"`initial_state`.* = \(3, {size}\).*\(3, "):
        kind.make()(inputs(), initial_state=wrong)
    with pytest.raises(ValueError, match=rf"`states`.* = \(3, {size}\).*\(3, "):
        kind.make_cell()(inputs()[:, 0], states=wrong)
    with pytest.raises(ValueError, match=r"`mask` must be .* = \(3, 7\).*\(3, 6\)"):
        kind.make()(inputs(), mask=np.ones((3, 6), bool))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
        ({"units": 2.0}, r"`units` must be a positive integer.*units=2\.0"),
        ({"seed": "1"}, "`seed` must be an integer or None.*seed='1'"),
        ({"bias": True}, "bias"),
        ({"unroll": True}, "`unroll` is not an argument of .*unroll=True"),
        ({"recurrent_regularizer": "no_such"}, "no_such"),
    ],
    ids=str,
)
def test_bad_argument(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind.layer(**{"units": 4, **arguments})
