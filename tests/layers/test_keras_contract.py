"""What Keras asks of a layer, and what users of LSTM do with it."""

import copy
import inspect
import json
import pickle

import keras
import numpy as np
import pytest
from keras import ops
from keras.src import testing

from keras_lru.training import AdamW

from .arguments import LEGAL
from .kinds import each_kind
from .sequences import (
    BATCH,
    COMPILED,
    MASKS,
    SOON,
    TIME,
    WIDTH,
    assert_close,
    assert_same,
    model_of,
    normal,
    numpy_of,
    numpy_of_all,
    sequential,
)

EITHER = [True, False]
each = pytest.mark.parametrize("kind", each_kind(fast=None))
lru_first = pytest.mark.parametrize("kind", each_kind(fast=["lru"]))


# Keras's own gauntlet: configuration, shapes, dtypes, a training step


# Keras's harness trains on a generator with `shuffle` left true.
@pytest.mark.filterwarnings("ignore:`shuffle=True` was passed:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("returns_states", EITHER)
@each
def test_gauntlet(kind, returns_states):
    """With every regularizer and constraint, trained; or with states."""
    count = len(kind.state_names)
    shape = (BATCH, TIME, kind.units)
    if returns_states:
        kwargs = {"return_state": True, "go_backwards": True}
        shape = (shape, *[(BATCH, kind.num_states)] * count)
    else:
        kwargs = {
            **{f"{group}_regularizer": "l2" for group in kind.groups},
            **{f"{group}_constraint": "non_neg" for group in kind.groups},
            "activity_regularizer": "l1",
            # Among PyTorch's parameters the harness forgets the states that are kept.
            "stateful": keras.backend.backend() != "torch",
        }
    regularized = sum(map(len, kind.groups.values())) + 1
    keeps_states = kwargs.get("stateful", False)
    testing.TestCase().run_layer_test(
        kind.layer,
        init_kwargs={**kind.sizes, "return_sequences": True, **kwargs},
        input_shape=(BATCH, TIME, kind.features),
        expected_output_shape=shape,
        expected_num_trainable_weights=len(kind.weights),
        expected_num_non_trainable_weights=0,
        expected_num_non_trainable_variables=count if keeps_states else 0,
        expected_num_seed_generators=0,
        expected_num_losses=0 if returns_states else regularized,
        supports_masking=True,
        run_training_check=not returns_states,
    )


# Kinds of models


@lru_first
def test_one_model_for_any_length(kind):
    layer = kind.make(return_sequences=True)
    model = sequential(layer, **COMPILED)
    for time in (0, 1, 2, 100):
        x = kind.inputs(time)
        # Keras predicts nothing from no steps.
        y = model.predict(x, verbose=0) if time else model(x)
        assert_close(y, kind.outputs(layer, x))


@pytest.mark.parametrize(
    ("kind", "return_sequences"),
    each_kind(EITHER, others=[False], fast=[("lru", True)]),
)
def test_last_batch_may_be_smaller(kind, return_sequences):
    layer = kind.make(return_sequences=return_sequences)
    x = kind.inputs(batch=5)
    y = sequential(layer, **COMPILED).predict(x, batch_size=2, verbose=0)
    assert_close(y, kind.outputs(layer, x))


@lru_first
def test_functional_model_shares_a_layer(kind):
    layer = kind.make()
    first, second = (keras.Input((time, kind.features)) for time in (None, 5))
    model = model_of([first, second], layer(first) - layer(second))
    x = kind.inputs(), kind.inputs(5)
    expected = kind.outputs(layer, x[0]) - kind.outputs(layer, x[1])
    assert_close(model(list(x)), expected)
    assert len(model.weights) == len(kind.weights)


class Subclassed(keras.Model):
    def __init__(self, kind):
        super().__init__()
        options = {"built": False, "units": WIDTH}
        self.first = kind.make(**options, return_sequences=True)
        self.second = kind.make(**options, return_state=True, seed=2)

    def call(self, x, training=False):
        y, *states = self.second(self.first(x), training=training)
        return ops.concatenate([y, *states], axis=-1)


@lru_first
def test_subclassed_model(kind, tmp_path):
    model, x = Subclassed(kind), normal(BATCH, TIME, WIDTH)
    model.compile(keras.optimizers.SGD(0.01), "mse", **SOON)
    width = WIDTH + sum(model.second.cell.state_size)
    model.fit(x, np.zeros((BATCH, width)), verbose=0)
    y, last = kind.reference(model.second, kind.outputs(model.first, x))
    found = model.predict(x, verbose=0)
    assert_close(found, np.concatenate([y, *last], 1))
    model.save_weights(tmp_path / "model.weights.h5")
    other = Subclassed(kind)
    other(keras.Input((None, WIDTH)))
    other.load_weights(tmp_path / "model.weights.h5")
    for a, b in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


@lru_first
def test_frozen_layer_does_not_learn(kind):
    layer, count = kind.make(), len(kind.weights)
    for trainable in (True, False):
        layer.trainable = trainable
        assert len(layer.trainable_weights) == count * trainable
        assert len(layer.non_trainable_weights) == count * (not trainable)
    sequence = keras.Input((None, kind.features))
    model = keras.Model(sequence, keras.layers.Dense(1)(layer(sequence)))
    model.compile(keras.optimizers.SGD(1.0), "mse", **SOON)
    before = layer.get_weights()
    model.train_on_batch(kind.inputs(), np.ones((BATCH, 1)))
    for old, new in zip(before, layer.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@each
def test_a_layer_may_be_made_frozen(kind):
    layer = kind.make(trainable=False)
    assert not layer.trainable_weights
    assert not kind.layer.from_config(layer.get_config()).trainable


@lru_first
def test_no_sequences(kind):
    """As with LSTM: nothing in, nothing out."""
    y, *states = kind.solver(return_sequences=True)(kind.inputs(batch=0))
    assert tuple(y.shape) == (0, TIME, kind.units)
    assert {tuple(s.shape) for s in states} == {(0, kind.num_states)}


@lru_first
def test_summary(kind):
    lines = []
    layer = kind.make(return_sequences=True)
    sequential(layer).summary(print_fn=lambda line, **kwargs: lines.append(line))
    text = "\n".join(lines)
    assert f"(None, None, {kind.units})" in text
    count = sum(int(np.prod(shape)) for shape in kind.shapes.values())
    assert layer.count_params() == count
    assert str(count) in text


# Shapes


@pytest.mark.parametrize("return_state", EITHER)
@pytest.mark.parametrize("return_sequences", EITHER)
@each
def test_output_shape(kind, return_sequences, return_state):
    for batch, time in ((None, None), (3, 7), (3, None)):
        layer = kind.make(
            built=False, return_sequences=return_sequences, return_state=return_state
        )
        steps = (time,) if return_sequences else ()
        expected = (batch, *steps, kind.units)
        if return_state:
            states = [(batch, kind.num_states)] * len(kind.state_names)
            expected = (expected, *states)
        shape = (batch, time, kind.features)
        assert layer.compute_output_shape(shape) == expected
        assert not layer.built
        y = layer(keras.Input(batch_shape=shape))
        assert (tuple(p.shape for p in y) if return_state else y.shape) == expected


@lru_first
def test_returned_structure_is_that_of_lstm(kind):
    layer = kind.make(return_state=True)
    lstm = keras.layers.LSTM(4, recurrent_initializer="zeros", return_state=True)
    found, expected = (each(kind.inputs()) for each in (layer, lstm))
    assert type(found) is type(expected)
    assert len(found) == 1 + len(kind.state_names)


# Weights


@each
def test_order_paths_and_shapes_of_the_weights(kind):
    layer = kind.make(name="my")
    assert {w.name: tuple(w.shape) for w in layer.weights} == kind.shapes
    assert [w.name for w in layer.weights] == kind.weights
    cell = layer.cell.name
    assert cell == f"{kind.name}_cell"
    paths = [f"my/{cell}/{name}" for name in kind.weights]
    assert [w.path for w in layer.weights] == paths
    assert [w.path for w in layer.trainable_weights] == paths
    recurrent = tuple(w.name for w in layer.weights if w.is_recurrent)
    assert recurrent == kind.recurrent


@each
def test_the_optimizer_treats_recurrent_weights_apart(kind):
    layer = kind.make()
    before = [numpy_of(w) for w in layer.weights]
    optimizer = AdamW(0.1, weight_decay=0.0, recurrent_lr_factor=0.0)
    ones = [ops.ones(w.shape) for w in layer.weights]
    optimizer.apply(ones, layer.trainable_weights)
    same = tuple(
        w.name
        for w, old in zip(layer.weights, before, strict=True)
        if np.array_equal(numpy_of(w), old)
    )
    assert same == kind.recurrent


@each
def test_seed_makes_weights_reproducible(kind):
    first, second, other = (kind.make(seed=seed) for seed in (1, 1, 2))
    for a, b, c in zip(first.weights, second.weights, other.weights, strict=True):
        np.testing.assert_array_equal(numpy_of(a), numpy_of(b))
        same = np.allclose(numpy_of(a), numpy_of(c))
        assert same == (a.name in kind.fixed), a.name


@each
def test_without_a_seed_the_global_one_decides(kind):
    keras.utils.set_random_seed(3)
    first, second = kind.make(seed=None), kind.make(seed=None)
    keras.utils.set_random_seed(3)
    again = kind.make(seed=None)
    for a, b, c in zip(first.weights, second.weights, again.weights, strict=True):
        assert np.allclose(numpy_of(a), numpy_of(b)) == (a.name in kind.fixed), a.name
        np.testing.assert_array_equal(numpy_of(a), numpy_of(c))


@lru_first
def test_any_integer_is_a_seed(kind):
    for seed in (0, -1, 2**31 - 1, 2**32 - 1, 2**63):
        layer = kind.make(seed=seed)
        assert all(np.isfinite(weight).all() for weight in layer.get_weights())
        assert layer.get_config()["seed"] == seed


@lru_first
def test_weights_by_hand(kind):
    layer, other = kind.make(), kind.make(seed=2)
    other.set_weights(layer.get_weights())
    assert_same(other(kind.inputs()), layer(kind.inputs()))


# Configuration and files


@each
def test_config_round_trip(kind):
    arguments = LEGAL[kind.name]
    layer = kind.layer(**arguments)
    config = layer.get_config()
    signature = [*inspect.signature(kind.layer).parameters][:-1]
    assert config.keys() == {*signature, "name", "dtype", "trainable"}
    assert config.keys() == arguments.keys() == kind.layer(4).get_config().keys()
    restored = kind.layer.from_config(config)
    assert restored.get_config() == config
    assert restored.compute_dtype == restored.cell.compute_dtype == "bfloat16"
    for name, value in arguments.items():
        if isinstance(value, (bool, int, float)) or name in ("scan", "name"):
            assert config[name] == value, name
        elif hasattr(value, "get_config") and name != "dtype":
            found = getattr(restored, name)
            assert type(found) is type(value)
            assert found.get_config() == value.get_config()
    json.dumps(config)


@each
def test_config_round_trip_of_the_cell(kind):
    layer = kind.layer(**LEGAL[kind.name])
    config = layer.cell.get_config()
    signature = [*inspect.signature(kind.cell).parameters][:-1]
    assert config.keys() == {*signature, "name", "dtype", "trainable"}
    copied = kind.cell.from_config(config)
    assert copied.get_config() == config
    assert copied.compute_dtype == "bfloat16"


@each
def test_defaults_of_the_layer_are_those_of_the_cell(kind):
    layer, cell = (inspect.signature(x).parameters for x in (kind.layer, kind.cell))
    for name, parameter in cell.items():
        assert layer[name].default == parameter.default, name


@each
def test_arguments_are_attributes(kind):
    layer = kind.layer(**LEGAL[kind.name])
    for name, value in LEGAL[kind.name].items():
        # Not `state_size`: Keras's is a list.
        if isinstance(value, (bool, int, float)) and name != "state_size":
            assert getattr(layer, name) == value, name
        elif name not in ("state_size", "dtype"):
            assert getattr(layer, name) is not None, name


@each
def test_registered_names(kind):
    for each_class in (kind.layer, kind.cell):
        name = keras.saving.get_registered_name(each_class)
        assert name == f"keras_lru>{each_class.__name__}"


@each
def test_numpy_scalars_are_saved_as_python_s(kind):
    numbers = {
        name: value
        for name, value in LEGAL[kind.name].items()
        if type(value) in (int, float)
    }
    arguments = {name: np.array(value)[()] for name, value in numbers.items()}
    config = kind.layer(**arguments).get_config()
    for name, value in numbers.items():
        assert type(config[name]) is type(value), name
    json.dumps(config)


@pytest.mark.parametrize(
    ("kind", "dtype"),
    [
        *each_kind(["float32"], fast=None),
        *each_kind(["mixed_float16"], fast=[]),
    ],
)
def test_files(kind, dtype, tmp_path):
    # Seeded models would start, and so reload, alike.
    layer = kind.make(return_sequences=True, seed=None, dtype=dtype)
    model = sequential(layer)
    x = kind.inputs(2)
    expected = numpy_of(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert_same(loaded(x), expected)
    model.save_weights(tmp_path / "model.weights.h5")
    clone = keras.models.clone_model(model)
    assert not np.allclose(numpy_of(clone(x)), expected)
    clone.load_weights(tmp_path / "model.weights.h5")
    assert_same(clone(x), expected)


@lru_first
def test_training_goes_on_after_reloading(kind, tmp_path):
    model = sequential(kind.make(), optimizer="adam", loss="mse")
    target = np.ones((BATCH, kind.units))
    model.train_on_batch(kind.inputs(), target)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    for each_model in (model, loaded):
        each_model.train_on_batch(kind.inputs(), target)
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@lru_first
def test_copies(kind):
    layer = kind.make(seed=None)
    expected = numpy_of(layer(kind.inputs()))
    for copier in (copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))):
        assert_same(copier(layer)(kind.inputs()), expected)
        y = copier(kind.make(built=False))(kind.inputs())
        assert y.shape == (BATCH, kind.units)


# Regularizers and constraints


@each
def test_regularizers(kind):
    factors = {group: 0.1 * (i + 1) for i, group in enumerate(kind.groups)}
    layer = kind.make(
        **{f"{g}_regularizer": keras.regularizers.L2(f) for g, f in factors.items()}
    )
    # Of the size of the weights themselves, none of which is zero.
    rng = np.random.default_rng(0)
    layer.set_weights([rng.uniform(0.5, 1, w.shape) for w in layer.weights])
    weights = {w.name: numpy_of(w) for w in layer.weights}
    expected = {
        name: factors[group] * (weights[name] ** 2).sum()
        for group, names in kind.groups.items()
        for name in names
    }
    ordered = [expected[name] for name in kind.weights if name in expected]
    np.testing.assert_allclose(numpy_of_all(layer.losses), ordered, rtol=1e-5)


@lru_first
def test_activity_regularizer_is_that_of_the_outputs(kind):
    """Keras divides it by the batch size."""
    layer = kind.make(activity_regularizer=keras.regularizers.L2(0.1))
    y = numpy_of(layer(kind.inputs()))
    (loss,) = layer.losses
    np.testing.assert_allclose(numpy_of(loss), 0.1 * (y**2).sum() / BATCH, rtol=1e-4)


@each
def test_constraints_are_those_of_their_weights(kind):
    constraints = {
        group: keras.constraints.MaxNorm(i) for i, group in enumerate(kind.groups)
    }
    layer = kind.make(**{f"{g}_constraint": c for g, c in constraints.items()})
    expected = {n: constraints[g] for g, names in kind.groups.items() for n in names}
    for weight in layer.weights:
        assert weight.constraint is expected.get(weight.name), weight.name


@lru_first
def test_constraints_hold_after_training(kind):
    layer = kind.make(**{f"{group}_constraint": "non_neg" for group in kind.groups})
    layer.set_weights([w - 0.5 for w in layer.get_weights()])
    model = sequential(layer, optimizer=keras.optimizers.SGD(0.01), loss="mse")
    model.train_on_batch(kind.inputs(), np.ones((BATCH, kind.units)))
    constrained = [name for names in kind.groups.values() for name in names]
    for weight in model.weights:
        holds = numpy_of(weight).min() >= 0
        assert holds or weight.name not in constrained, weight.name


# Compiled by each backend


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="JAX compiles known sizes only"
)
@pytest.mark.parametrize(
    ("kind", "return_sequences"),
    each_kind(
        EITHER,
        fast=[
            ("lru", True),
            ("s4d", True),
            ("s5", False),
            ("dense_rnn", False),
            ("rg_lru", False),
        ],
    ),
)
def test_compiled_function_of_unknown_sizes(kind, return_sequences):
    import tensorflow as tf

    layer = kind.make(return_sequences=return_sequences)

    @tf.function(
        input_signature=[
            tf.TensorSpec((None, None, kind.features)),
            tf.TensorSpec((None, None), tf.bool),
        ]
    )
    def function(x, mask):
        return layer(x), layer(x, mask=mask)

    for time in (0, 1, 2, 7, 100):
        x, mask = kind.inputs(time), np.resize(MASKS["holes"], (BATCH, time))
        expected = [kind.outputs(layer, x), kind.outputs(layer, x, mask=mask)]
        assert_close(list(function(x, mask)), expected)
