"""Time split over eight virtual devices, which `test_sequence_parallel.py` starts.

What is computed is compared with the loop in float64, and with one device.
"""

import functools
import sys
from pathlib import Path

import jax
import keras
import numpy as np
import pytest
from keras.distribution import DeviceMesh

from keras_lru import LRU, RGLRU, S4D, S5, ResidualBlock, SequenceClassifier
from keras_lru.distribution import layout_map, sequence_parallel
from keras_lru.layers.pooling import SequencePooling
from keras_lru.ops import linear_recurrence, naive
from keras_lru.training import AdamW

from ..layers.kinds import KINDS, Solver
from ..layers.sequences import MASKS, assert_close, normal

ROOT = Path(__file__).parents[2]

BATCH, TIME = 2, 64
# A hole, a beginning and an end that are masked, over several stretches.
MASK = np.random.default_rng(5).random((BATCH, TIME)) > 0.4
MASK[0, :11], MASK[1, -19:] = False, False
RESET = np.random.default_rng(6).random((BATCH, TIME)) > 0.8
SIZES = (np.random.default_rng(7).random((BATCH, TIME)) + 0.5).astype("float32")
SEQUENCES = {"return_sequences": True}
# As sums in another order differ.
ROUNDED = {"rtol": 1e-4, "atol": 1e-5}


def exchanges(program):
    """Those of a compiled program, by the benchmarks' reader of its text."""
    sys.path.insert(0, str(ROOT))
    try:
        from benchmarks.collectives import collectives
    finally:
        sys.path.remove(str(ROOT))
    return collectives(program.as_text())


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


def parallel(time=8, batch=1):
    devices = keras.distribution.list_devices("cpu")[: batch * time]
    mesh = DeviceMesh((batch, time), ["batch", "seq"], devices)
    return sequence_parallel(mesh, time="seq", batch="batch")


def program(layer, **arguments):
    """Value, gradients, outputs and new variables of a layer, of weights and inputs."""
    fixed = [np.asarray(v.value) for v in layer.non_trainable_variables]

    def loss(weights, x):
        outputs, variables = layer.stateless_call(weights, fixed, x, **arguments)
        tensors = jax.tree.leaves(outputs)
        squares = sum((y.astype("float32") ** 2).sum() for y in tensors)
        return squares, (tensors, variables)

    return jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))


def weights_of(layer):
    return [np.asarray(v.value) for v in layer.trainable_variables]


def check(layer, shape, time=8, batch=1, **arguments):
    """Assert that outputs, states, gradients and variables are those of one device."""
    x = normal(*shape)
    layer.build(shape)
    run = program(layer, **arguments)
    expected = run(weights_of(layer), x)
    with parallel(time, batch):
        found = run(weights_of(layer), x)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        scale = max(1.0, np.abs(b).max())
        np.testing.assert_allclose(a / scale, b / scale, **ROUNDED)


def compiled(layer, shape, time=8, batch=1, **arguments):
    """The program of a gradient, of inputs that are split already."""
    with parallel(time, batch):
        layer.build(shape)
        layout = keras.distribution.distribution().get_data_layout(shape)
        x = jax.ShapeDtypeStruct(shape, "float32", sharding=layout.backend_layout)
        return program(layer, **arguments).lower(weights_of(layer), x).compile()


# Against the loop in float64


@pytest.mark.parametrize("name", ["lru", slow("s4d"), slow("rg_lru")])
def test_values_and_gradients_are_those_of_the_loop(name):
    kind = KINDS[name]
    solver = Solver(kind.make(return_sequences=True, return_state=True))
    with parallel():
        kind.check_gradients(solver, kind.inputs(time=16), kind.states())


@pytest.mark.parametrize("mask", ["holes", slow("right"), slow("everything")])
def test_masked_steps_are_those_of_the_loop(mask):
    kind = KINDS["lru"]
    layer = kind.make(return_sequences=True, return_state=True)
    with parallel():
        kind.check(Solver(layer), kind.inputs(), kind.states(), MASKS[mask])


@pytest.mark.parametrize("length", [slow(1), 3, slow(61)])
def test_any_length(length):
    kind = KINDS["lru"]
    layer = kind.make(return_sequences=True, return_state=True, block_size=4)
    with parallel():
        kind.check(Solver(layer), kind.inputs(time=length), kind.states())


@pytest.mark.parametrize("reverse", [slow(False), True])
@pytest.mark.parametrize("varies", [False, True])
def test_linear_recurrence_of_any_length(varies, reverse):
    a = 0.9 + 0.1 * normal(BATCH, 21, 3) if varies else np.float32([0.5, -0.9, 1.0])
    b, start = normal(BATCH, 21, 3, seed=1), normal(BATCH, 3, seed=2)
    with parallel(time=5):
        found = jax.jit(functools.partial(linear_recurrence, reverse=reverse))(
            a, b, start
        )
    expected = naive.linear_recurrence(a, b, start, reverse)
    for x, y in zip(found, expected, strict=True):
        np.testing.assert_allclose(x, y.real, rtol=1e-4, atol=1e-5)


# Against one device

LAYERS = {
    "every argument in time": (
        lambda: LRU(3, 4, return_state=True, **SEQUENCES),
        {"mask": MASK, "reset": RESET, "step_sizes": SIZES},
    ),
    "restarts alone": (
        lambda: LRU(3, 4, return_state=True, **SEQUENCES),
        {"reset": RESET},
    ),
    "the last output": (
        lambda: LRU(3, 4, return_state=True),
        {"mask": MASK, "reset": RESET},
    ),
    "the last output of a mask": (
        lambda: LRU(3, 4, return_state=True),
        {"mask": MASK},
    ),
    "a mask, in blocks of one step": (
        lambda: LRU(3, 4, block_size=1, return_state=True, **SEQUENCES),
        {"mask": MASK},
    ),
    "a mask of channels": (
        lambda: S4D(3, 4, return_state=True, **SEQUENCES),
        {"mask": MASK},
    ),
    "restarts of channels": (
        lambda: S4D(3, 4, **SEQUENCES),
        {"reset": RESET, "step_sizes": SIZES},
    ),
    "backwards": (
        lambda: LRU(3, 4, go_backwards=True, zero_output_for_mask=True, **SEQUENCES),
        {"mask": MASK},
    ),
    "a gate": (
        lambda: RGLRU(3, return_state=True, **SEQUENCES),
        {"mask": MASK, "reset": RESET},
    ),
    "a block": (
        lambda: ResidualBlock(LRU(3, 4, **SEQUENCES)),
        {"mask": MASK, "training": True},
    ),
    "both directions": (
        lambda: ResidualBlock(LRU(3, 4, **SEQUENCES), "layer", bidirectional=True),
        {"step_sizes": SIZES, "reset": RESET},
    ),
    "the last step, pooled": (
        lambda: SequencePooling("last"),
        {"mask": MASK},
    ),
}

FAST = ("restarts alone", "a block")


@pytest.mark.parametrize(
    "name", [name if name in FAST else slow(name) for name in LAYERS]
)
def test_layers_are_those_of_one_device(name):
    make, arguments = LAYERS[name]
    check(make(), (BATCH, TIME, 3), **arguments)


@pytest.mark.parametrize(
    "scan", [slow("sequential"), slow("chunked"), "associative", slow("pallas")]
)
@pytest.mark.parametrize("layer", [LRU, slow(RGLRU)])
def test_stretches_are_solved_by_every_algorithm(layer, scan):
    check(layer(3, scan=scan, return_state=True, **SEQUENCES), (BATCH, 40, 3))


@pytest.mark.parametrize(
    ("time", "batch"), [slow(2, 1), (3, 2), slow(4, 2), slow(7, 1)]
)
def test_any_number_of_devices(time, batch):
    make, arguments = LAYERS["restarts alone"]
    check(make(), (BATCH, TIME, 3), time, batch, **arguments)


@pytest.mark.slow
def test_a_batch_that_its_devices_do_not_divide():
    check(LRU(3, 4, return_state=True, **SEQUENCES), (3, TIME, 3), time=4, batch=2)


# Training

X = normal(8, TIME, 3)
Y = (X[:, :, 0].sum(axis=1) > 0).astype("int32")


def model(**options):
    keras.utils.set_random_seed(0)
    options = {"dropout": 0.1, "seed": 0, **options}
    made = SequenceClassifier(2, depth=2, units=4, state_size=6, **options)
    made.compile(keras.optimizers.Adam(1e-2), "sparse_categorical_crossentropy")
    return made


def losses(made, epochs):
    options = {"batch_size": 4, "epochs": epochs, "shuffle": False, "verbose": 0}
    return made.fit(X, Y, **options).history["loss"]


def test_the_loss_curve_is_that_of_one_device():
    expected = losses(model(), 25)
    with parallel(time=4, batch=2):
        made = model()
        np.testing.assert_allclose(losses(made, 25), expected, rtol=1e-4)
        inside = made.predict(X, batch_size=4, verbose=0)
    # The programs of the two are not taken for one another.
    outside = made.predict(X, batch_size=4, verbose=0)
    np.testing.assert_allclose(inside, outside, atol=1e-5)


def test_a_layer_may_go_in_and_out():
    layer = LRU(3, 4, **SEQUENCES)
    x = normal(BATCH, TIME, 3)
    before = layer(x)
    with parallel():
        inside = layer(x)
    assert len(inside.sharding.device_set) == 8
    after = layer(x)
    assert len(after.sharding.device_set) == 1
    assert_close([inside, after], [before, before])
    assert keras.distribution.distribution() is None


def test_a_scope_within_another_is_refused():
    refused = pytest.raises(RuntimeError, match="must not be entered within")
    with parallel(), refused, parallel(time=4):
        pass


# What is exchanged

N, DEVICES = 4, 8


def test_devices_exchange_their_last_states_and_nothing_longer():
    program = compiled(LRU(3, N, block_size=4, **SEQUENCES), (BATCH, TIME, 3))
    # All else is the sum of the gradients.
    ends = [x for x in exchanges(program) if x.kind != "all-reduce"]
    # One state of each device, forwards and backwards.
    assert [x.kind for x in ends] == 2 * ["all-gather"]
    assert [x.shapes for x in ends] == 2 * [(f"f32[{BATCH},{DEVICES},{2 * N}]",)]
    assert [x.received for x in ends] == 2 * [4 * BATCH * (DEVICES - 1) * 2 * N]


@pytest.mark.parametrize(
    "name", ["a block", slow("every argument in time"), slow("a gate")]
)
def test_no_sequence_is_gathered(name):
    make, arguments = LAYERS[name]
    program = compiled(make(), (BATCH, TIME, 3), **arguments)
    for kind, shapes, _ in exchanges(program):
        assert kind not in ("all-to-all", "collective-broadcast")
        assert all(f"[{BATCH},{TIME}" not in shape for shape in shapes)


@pytest.mark.slow
def test_a_million_steps_need_an_eighth_of_the_memory():
    def bytes_of(program):
        memory = program.memory_analysis()
        return memory.argument_size_in_bytes + memory.temp_size_in_bytes

    def block():
        return ResidualBlock(LRU(8, 16, **SEQUENCES))

    shape = (1, 2**20, 8)
    layer = block()
    layer.build(shape)
    one = program(layer, training=True).lower(
        weights_of(layer), jax.ShapeDtypeStruct(shape, "float32")
    )
    many = compiled(block(), shape, training=True)
    assert bytes_of(many) <= bytes_of(one.compile()) / 6


# States split


@pytest.mark.parametrize("name", ["lru", slow("s5")])
def test_states_on_four_devices_learn_what_one_learns(name):
    x, y = normal(8, 24, 3), np.arange(8) % 3
    recurrence = {"lru": None, "s5": S5(6, 16, return_sequences=True)}[name]

    def losses():
        model = SequenceClassifier(
            3, depth=2, units=6, state_size=8, recurrence=recurrence, seed=0
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(AdamW(0.01), loss)
        history = model.fit(x, y, batch_size=8, epochs=10, shuffle=False, verbose=0)
        return model, history.history["loss"]

    _, expected = losses()
    devices = keras.distribution.list_devices("cpu")[:8]
    mesh = DeviceMesh((2, 4), ["batch", "model"], devices)
    parallel = keras.distribution.ModelParallel(
        layout_map=layout_map(mesh), batch_dim_name="batch"
    )
    with parallel.scope():
        model, found = losses()
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    cell = next(v for v in model.trainable_variables if v.path.endswith("B_re"))
    assert cell.value.sharding.shard_shape(cell.shape) == (6, 2)
    moments = [v for v in model.optimizer.variables if "B_re" in v.path]
    assert {v.value.sharding.shard_shape(v.shape) for v in moments} == {(6, 2)}
