"""Sizes of several inputs: unknown where the model takes others, known elsewhere."""

import keras
import numpy as np
import pytest
from keras import layers, ops, tree

from keras_lru import LRU, PairClassifier
from keras_lru.backend import proves_sizes
from keras_lru.export import export_saved_model
from keras_lru.export.input_signature import served_inputs

from .samples import TOKENS, built, pairs


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def joined(*outputs):
    return layers.Concatenate()(outputs)


def pooled(x):
    """The cheapest that takes every length."""
    return ops.mean(x, axis=1)


def encoder_and_decoder():
    """Two lengths."""
    encoder, decoder = keras.Input((None, 3)), keras.Input((None, 2))
    _, *states = LRU(4, return_state=True)(encoder)
    outputs = LRU(4, return_sequences=True)(decoder, initial_state=states)
    return keras.Model([encoder, decoder], outputs)


def static_features_and_states(recurrence=LRU):
    """One length, beside a vector, an image, a category and states."""
    x, vector = keras.Input((None, 3)), keras.Input((5,))
    image, category = keras.Input((4, 4, 1)), keras.Input((2,), dtype="int32")
    states = [keras.Input((4,)), keras.Input((4,))]
    embedded = layers.Embedding(3, 2)(category)
    flat = [layers.Flatten()(y) for y in (vector, image, embedded)]
    bias = layers.Dense(4)(joined(*flat))[:, None]
    each = recurrence(4, return_sequences=True)(x, initial_state=states)
    outputs = each + bias
    return keras.Model([x, vector, image, category, *states], outputs)


def frames():
    """Unknown sizes at axes 2 and 3, in a dictionary."""
    x = keras.Input((None, None, 3), name="x")
    y = keras.Input((None, 2, None, 2), name="y")
    outputs = joined(LRU(4)(ops.mean(x, axis=2)), pooled(ops.max(y, axis=3)[:, :, 0]))
    return keras.Model({"x": x, "y": y}, outputs)


def tied(read=None):
    """Two lengths, each of two inputs."""
    a, b, c, d = (keras.Input((None, 3)) for _ in range(4))
    read = read or LRU(4)
    return keras.Model([a, b, c, d], joined(read(a + c), read(b - d)))


def all_of_these():
    """All of these, without recurrences: they take long to export."""
    shapes = {"x": (None, 3), "y": (None, 3), "z": (None, None, 3), "vector": (5,)}
    inputs = {name: keras.Input(shape, name=name) for name, shape in shapes.items()}
    x, y, z, vector = inputs.values()
    each = x + pooled(y)[:, None] + ops.mean(z, axis=2)
    return keras.Model(inputs, each + layers.Dense(3)(vector)[:, None])


def all_inputs(n):
    sizes = {"x": (n, 3), "y": (n + 1, 3), "z": (n, n + 2, 3), "vector": (5,)}
    return {name: draw(2, *size) for name, size in sizes.items()}


def encoder_and_decoder_inputs(n):
    return [draw(2, n, 3), draw(2, n + 3, 2)]


def static_features_and_states_inputs(n):
    category = np.ones((2, 2), "int32")
    sizes = [(n, 3), (5,), (4, 4, 1), (4,), (4,)]
    x, vector, image, *states = (draw(2, *size) for size in sizes)
    return [x, vector, image, category, *states]


def frames_inputs(n):
    return {"x": draw(2, n, n + 1, 3), "y": draw(2, n + 2, 2, n, 2)}


def tied_inputs(n):
    return [draw(2, n, 3), draw(2, n + 1, 3)] * 2


@pytest.mark.parametrize(
    ("make", "make_inputs"),
    [
        (all_of_these, all_inputs),
        *(
            pytest.param(*case, marks=pytest.mark.slow)
            for case in (
                (encoder_and_decoder, encoder_and_decoder_inputs),
                (static_features_and_states, static_features_and_states_inputs),
                (frames, frames_inputs),
                (tied, tied_inputs),
            )
        ),
    ],
)
def test_inputs_of_every_kind_are_served_at_every_length(make, make_inputs, tmp_path):
    import tensorflow as tf

    model = make()
    export_saved_model(model, tmp_path / "model", streaming=False, verbose=False)
    served = tf.saved_model.load(str(tmp_path / "model"))
    for length in (1, 4):
        inputs = make_inputs(length)
        expected = ops.convert_to_numpy(model(inputs))
        np.testing.assert_allclose(served.serve(inputs), expected, atol=1e-5)


def found(model, signature=None):
    """The sizes but the batch's, unknown ones `None`; and which of those are one."""
    signature, shapes = served_inputs(model, signature)
    sizes = [tuple(spec.shape[1:]) for spec in tree.flatten(signature)]
    names = [size for shape in shapes for size in shape[1:] if isinstance(size, str)]
    return sizes, [names.index(name) for name in names]


def test_only_time_is_freed():
    sizes, groups = found(static_features_and_states(layers.LSTM))
    assert sizes == [(None, 3), (5,), (4, 4, 1), (2,), (4,), (4,)]
    assert groups == [0]


@pytest.mark.parametrize("dtype", ["int32", "float32"])
def test_declared_lengths_are_freed(dtype):
    tokens, x = keras.Input((5,), dtype=dtype), keras.Input((5, 3))
    inner = keras.Input((5, 3))
    nested = keras.Model(inner, pooled(inner))
    outputs = joined(pooled(layers.Embedding(4, 2)(tokens)), nested(x))
    model = keras.Model([tokens, x], outputs)
    assert found(model) == ([(None,), (None, 3)], [0, 1])
    for refusing in (model, nested):
        with pytest.raises(ValueError, match="expected shape"):
            refusing(tree.map_structure(lambda _: draw(2, 6, 3), refusing.input))


def test_a_length_that_weights_depend_on_stays_known():
    x = keras.Input((5, 3))
    model = keras.Model(x, layers.Dense(2)(layers.Flatten()(x)))
    assert found(model) == ([(5, 3)], [])


def test_lengths_that_must_be_one_are_told_from_those_of_their_own():
    _, groups = found(tied(pooled))
    assert groups == ([0, 1, 0, 1] if proves_sizes() else [0, 1, 2, 3])

    a, b, c, static = (keras.Input(shape) for shape in ((5, 3),) * 3 + ((5,),))
    outputs = joined(pooled(a + c), pooled(b), layers.Dense(2)(static))
    sizes, groups = found(keras.Model([a, b, c, static], outputs))
    assert sizes == [(None, 3), (None, 3), (None, 3), (5,)]
    assert len(set(groups)) == 2
    assert groups[0] == groups[2] != groups[1]

    # Of one step that is repeated, beside any number of steps.
    x, context = keras.Input((5, 3)), keras.Input((1, 3))
    model = keras.Model([x, context], pooled(x + context))
    assert found(model) == ([(None, 3), (1, 3)], [0])


def test_many_inputs_of_one_length():
    series = [keras.Input((None, 1)) for _ in range(9)]
    other = keras.Input((None, 1))
    model = keras.Model(
        [*series, other], joined(pooled(joined(*series)), pooled(other))
    )
    sizes, groups = found(model)
    assert sizes == [(None, 1)] * 10
    if proves_sizes():
        assert groups == [0] * 9 + [9]


def test_a_pair_has_one_length():
    recurrence = layers.SimpleRNN(6, return_sequences=True)
    model = PairClassifier(2, depth=1, units=6, recurrence=recurrence, **TOKENS)
    built(model, pairs)
    expected = [0, 0] if proves_sizes() else [0, 1]
    assert found(model) == ([(None,), (None,)], expected)
    signature = [[keras.InputSpec(shape=(None, 7), dtype="int32")] * 2]
    assert found(model, signature) == ([(7,), (7,)], [])


def test_the_batch_of_a_stateful_model_stays_known():
    x = keras.Input(batch_shape=(2, None, 3))
    for stateful in (False, True):
        layer = layers.SimpleRNN(2, stateful=stateful)
        (spec,), _ = served_inputs(keras.Model(x, layer(x)))
        assert spec.shape == (2 if stateful else None, None, 3)


def unrolled():
    x = keras.Input((5, 3), name="x")
    return keras.Model(x, layers.SimpleRNN(2, unroll=True)(x))


def known_while_building():
    """`TimeDistributed` reads an unknown size as a number, which JAX forbids."""
    x, y = keras.Input((None, 2, 3), name="x"), keras.Input((None, 3), name="y")
    outputs = layers.TimeDistributed(layers.Flatten())(x)
    return keras.Model([y, x], joined(pooled(y), pooled(outputs)))


@pytest.mark.parametrize(
    "make",
    [
        unrolled,
        pytest.param(
            known_while_building,
            marks=pytest.mark.skipif(not proves_sizes(), reason="it can be unknown"),
        ),
    ],
)
def test_a_size_that_cannot_be_unknown_is_told_by_its_input(make, tmp_path):
    model = make()
    message = (
        r"`model` cannot be traced on \w+ with axis 1 of its inputs unknown: pass "
        r"`input_signature` with known sizes. Received: .* with input 'x' of shape"
    )
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "model", streaming=False)
    assert not list(tmp_path.iterdir())
    known = tree.map_structure(
        lambda x: keras.InputSpec(shape=(None, 5, *x.shape[2:]), dtype=x.dtype),
        model.input,
    )
    assert found(model, [known])[1] == []


def test_an_input_without_time_cannot_be_streamed(tmp_path):
    x, static = keras.Input((None, 3)), keras.Input((5,), name="static")
    model = keras.Model([x, static], joined(pooled(x), layers.Dense(2)(static)))
    message = r"`model` cannot be streamed; .* with input 'static' of shape \(None, 5\)"
    with pytest.raises(ValueError, match=message):
        export_saved_model(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())
