"""One step as a model: any sequence, step by step, gives the outputs of the whole."""

import keras
import numpy as np
import pytest
from keras import ops, tree

from keras_lru import LRU, S5, SequenceClassifier
from keras_lru.export import step_model

from .samples import SIZES, built, features
from .stream_models import MODELS

FAST = ("regressor", "masked kinds", "baselines")


def names():
    for name in MODELS:
        marks = () if name in FAST else pytest.mark.slow
        yield pytest.param(name, id=name, marks=marks)


@pytest.mark.parametrize("name", [*names()])
def test_steps_give_the_outputs_of_the_whole(name):
    make, make_inputs = MODELS[name]
    model, inputs = make(), make_inputs(2, 6)
    whole = tree.flatten(model(tree.map_structure(ops.convert_to_tensor, inputs)))
    step = step_model(model)
    assert not step.variables
    states = [ops.repeat(x, 2, axis=0) for x in step.initial_states]
    for t in range(6):
        given = [ops.convert_to_tensor(x[:, t]) for x in tree.flatten(inputs)]
        found = step([*given, *states])
        outputs, states = found[: len(whole)], found[len(whole) :]
    assert [tuple(x.shape) for x in states] == [
        (2, *x.shape[1:]) for x in step.initial_states
    ]
    for output, expected in zip(outputs, whole, strict=True):
        expected = expected[:, -1] if len(expected.shape) == 3 else expected
        output, expected = map(ops.convert_to_numpy, (output, expected))
        # Single precision, in another order.
        np.testing.assert_allclose(output, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("layer", [LRU, S5])
def test_what_follows_from_weights_alone_is_computed_before(layer, monkeypatch):
    model = built(keras.Sequential([layer(3, state_size=4)]), features)
    step = step_model(model)

    def system(cell):
        raise AssertionError("a step looked at the weights")

    monkeypatch.setattr(type(model.layers[0].cell), "system", system)
    step([ops.ones(x.shape) for x in (np.zeros((1, 3)), *step.initial_states)])


def test_states_are_in_the_order_of_their_names():
    model = built(keras.Sequential([LRU(3, state_size=4)]), features)
    step = step_model(model)
    names = [x.name for x in step.inputs[1:]]
    assert names == sorted(names)
    assert [x.shape for x in step.initial_states] == [(1, 4), (1, 4)]
    assert [tuple(x.shape) for x in step.outputs] == [(None, 3), (None, 4), (None, 4)]


def test_weights_are_those_of_the_moment():
    model = built(keras.Sequential([LRU(3)]), features)
    step = step_model(model)
    inputs = [ops.ones(x.shape) for x in (np.zeros((1, 3)), *step.initial_states)]
    before = ops.convert_to_numpy(step(inputs)[0])
    model.set_weights([2 * w for w in model.get_weights()])
    np.testing.assert_array_equal(ops.convert_to_numpy(step(inputs)[0]), before)


def test_what_cannot_be_streamed_is_named():
    model = built(SequenceClassifier(2, **SIZES), features)
    with pytest.raises(ValueError, match=r"cannot be streamed\. Received: .*'pooling'"):
        step_model(model)
    with pytest.raises(ValueError, match=r"must be a keras.Model\. Received: model=3"):
        step_model(3)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    with pytest.raises(ValueError, match="has no recurrent layer"):
        step_model(model)


def doubled(outputs):
    """What a layer returns, its outputs doubled."""
    if isinstance(outputs, tuple | list):
        return (2.0 * outputs[0], *outputs[1:])
    return 2.0 * outputs


class Doubled(LRU):
    """Another layer than the one that it is made of."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return doubled(super().call(sequences, initial_state, mask, training))


class DoubledLSTM(keras.layers.LSTM):
    """Another layer than the one that it is made of."""

    def call(self, sequences, initial_state=None, mask=None, training=False):
        return doubled(super().call(sequences, initial_state, mask, training))


@pytest.mark.parametrize(
    "layer",
    [
        lambda: (LRU(3, state_size=4, return_sequences=True, seed=0), {"rate": 0.25}),
        lambda: (Doubled(3, state_size=4, return_sequences=True, seed=0), {}),
        lambda: (DoubledLSTM(3, return_sequences=True), {}),
        lambda: (LRU(3, dtype="mixed_bfloat16", return_sequences=True, seed=0), {}),
    ],
    ids=["rate", "subclass", "subclass of Keras's", "half precision"],
)
def test_what_is_not_plain_takes_its_own_steps(layer):
    layer, options = layer()
    inputs = keras.Input((None, 2))
    model = keras.Model(inputs, layer(inputs, **options))
    x = np.random.default_rng(0).normal(size=(1, 5, 2)).astype("float32")
    whole = ops.convert_to_numpy(ops.cast(model(x), "float32"))
    step = step_model(model)
    states = [ops.convert_to_tensor(s) for s in step.initial_states]
    # A bfloat16 has eight bits, and sums are in another order.
    tolerance = 2**-6 if layer.compute_dtype == "bfloat16" else 1e-5
    tolerance *= max(1, np.abs(whole).max())
    for t in range(5):
        outputs, *states = step([ops.convert_to_tensor(x[:, t]), *states])
        outputs = ops.convert_to_numpy(ops.cast(outputs, "float32"))
        np.testing.assert_allclose(outputs, whole[:, t], atol=tolerance, rtol=0)


def test_a_step_is_no_file_and_its_names_are_its_own(tmp_path):
    model = built(keras.Sequential([LRU(3)]), features)
    with pytest.raises(
        NotImplementedError, match="A step model is not saved: `export`"
    ):
        step_model(model).save(tmp_path / "step.keras")
    inputs = keras.Input((None, 2), name="lru_x_re")
    model = keras.Model(inputs, LRU(3, name="lru")(inputs))
    with pytest.raises(ValueError, match=r"inputs of other names .*\['lru_x_re'\]"):
        step_model(model)
