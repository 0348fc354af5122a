"""Loops that write states over inputs: where they run, and what they keep."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LRU
from keras_lru.backend import has_loop_in_place
from keras_lru.layers import ResidualBlock
from keras_lru.ops import algorithm, linear_recurrence

from .. import differentiate

BACKEND = keras.backend.backend()
HAS_LOOP = BACKEND in ("jax", "tensorflow")

only_with_a_loop = pytest.mark.skipif(not HAS_LOOP, reason="PyTorch has no such loop")


def as_graph(function):
    """A function as one program, which is differentiated inside."""
    if BACKEND == "jax":
        import jax

        return jax.jit(function)
    import tensorflow as tf

    return tf.function(function)


def operations(function, *tensors):
    """Names of all operations of a TensorFlow graph, those of its functions too."""
    import tensorflow as tf

    graph = tf.function(function).get_concrete_function(*tensors).graph.as_graph_def()
    nodes = [*graph.node, *(n for f in graph.library.function for n in f.node_def)]
    return {node.op for node in nodes}


def layer(**arguments):
    made = LRU(5, 64, return_sequences=True, seed=1, **arguments)
    made.build((None, None, 5))
    return made


def pulled(layer, inputs, weights, **call):
    """Outputs, and the gradients for inputs and weights."""
    variables = [v.value for v in layer.trainable_variables]

    def run(inputs, *variables):
        return [layer.stateless_call(variables, [], inputs, **call)[0]]

    return differentiate.pull_back(run, [inputs, *variables], [weights])


@only_with_a_loop
@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("last", [False, True])
def test_a_layer_trains_as_in_blocks(masked, last):
    rng = np.random.default_rng(0)
    inputs = rng.normal(size=(3, 21, 5)).astype("float32")
    call = {}
    if masked:
        # Padding at the end, of a whole sequence too.
        call["mask"] = ops.convert_to_tensor(np.arange(21) < np.array([[21], [6], [0]]))
    weights = rng.normal(size=(3, 5) if last else inputs.shape).astype("float32")
    results = []
    for arguments in ({"scan": "sequential", "block_size": 1}, {"scan": "chunked"}):
        made = layer(**arguments)
        made.return_sequences = not last

        def run(inputs, weights, made=made):
            return pulled(made, inputs, weights, **call)

        values, gradients = as_graph(run)(inputs, weights)
        results.append([*values, *gradients])
    for x, y in zip(*results, strict=True):
        x, y = map(ops.convert_to_numpy, (x, y))
        # Float32, in another order.
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-4 * np.abs(y).max())


@only_with_a_loop
@pytest.mark.parametrize("reverse", [False, True])
def test_second_derivative_in_one_program(reverse):
    rng = np.random.default_rng(0)
    a = [x.astype("float32") for x in rng.uniform(0.2, 0.6, (2, 3))]
    b, direction = rng.normal(size=(2, 2, 2, 7, 3)).astype("float32")

    def slope(scan, b):
        def loss(re, im, b):
            states, last = linear_recurrence(
                (re, im), (b[0], b[1]), reverse=reverse, scan=scan
            )
            return sum(ops.sum(x * x) for x in (*states, *last))

        gradients = differentiate.gradients(loss, *a, b)
        return ops.sum(gradients[2] * direction) + sum(map(ops.sum, gradients[:2]))

    def second(scan):
        return lambda b: differentiate.gradients(lambda b: slope(scan, b), b)[0]

    found = as_graph(second("sequential"))(ops.convert_to_tensor(b))
    expected = ops.convert_to_numpy(second("chunked")(ops.convert_to_tensor(b)))
    np.testing.assert_allclose(
        ops.convert_to_numpy(found), expected, atol=1e-5 * np.abs(expected).max()
    )


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's graphs")
def test_graphs_that_train_have_a_program_and_others_have_none():
    import tensorflow as tf

    made = layer()
    x = tf.zeros((2, 9, 5))

    def train(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = made(x)
        return tape.gradient(y, x)

    assert "XlaDynamicUpdateSlice" in operations(train, x)
    assert "XlaDynamicUpdateSlice" not in operations(lambda x: made(x), x)
    # Eagerly every new shape would be compiled.
    with tf.GradientTape():
        assert not has_loop_in_place(2)
    # Of an unknown length too, each one.
    unknown = tf.TensorSpec((2, None, 5))
    assert "XlaDynamicUpdateSlice" not in operations(train, unknown)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's graphs")
def test_batches_of_any_size_run_by_one_graph():
    import tensorflow as tf

    made = layer()

    @tf.function(input_signature=[tf.TensorSpec((None, 9, 5))])
    def train(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.reduce_sum(made(x) ** 2)
        return tape.gradient(y, x)

    assert "XlaDynamicUpdateSlice" in operations(train, tf.TensorSpec((None, 9, 5)))
    x = np.random.default_rng(0).normal(size=(4, 9, 5)).astype("float32")
    whole = train(x).numpy()
    np.testing.assert_allclose(train(x[:1]).numpy(), whole[:1], atol=1e-5)
    assert train(x[:0]).shape == (0, 9, 5)


def _forward_mode(tf, made, x):
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
        y = tf.sin(made(x))
    return accumulator.jvp(y)


def _forward_over_reverse(tf, made, x):
    with tf.autodiff.ForwardAccumulator(x, tf.ones_like(x)) as accumulator:
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.sin(made(x))
        slope = tape.gradient(y, x)
    return accumulator.jvp(slope)


def _around_a_map(tf, made, x):
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.sin(tf.vectorized_map(lambda row: made(row[None])[0], x))
    return tape.gradient(y, x)


def _around_a_jacobian(tf, made, x):
    with tf.GradientTape() as outer:
        outer.watch(x)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = tf.sin(made(x))[:, -1]
        squares = tape.batch_jacobian(y, x) ** 2
    return outer.gradient(squares, x)


@pytest.mark.skipif(BACKEND != "tensorflow", reason="TensorFlow's transforms")
@pytest.mark.parametrize(
    "transform",
    [_forward_mode, _forward_over_reverse, _around_a_map, _around_a_jacobian],
)
def test_transforms_see_operations_and_no_program(transform):
    import tensorflow as tf

    made = layer()
    x = tf.constant(np.random.default_rng(0).normal(size=(2, 6, 5)), "float32")
    found = tf.function(lambda x: transform(tf, made, x))(x).numpy()
    expected = transform(tf, made, x).numpy()
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


@pytest.mark.skipif(BACKEND != "jax", reason="JAX's alone runs it eagerly")
def test_half_precision_adds_up_in_single():
    # Exact in half precision, of which a sum over time would lose most.
    a, b = (0.5, 0.0), (np.ones((1, 4000, 1)), np.zeros((1, 4000, 1)))

    def loss(re, im):
        states, _ = linear_recurrence((re, im), [ops.cast(x, "bfloat16") for x in b])
        return ops.sum(ops.cast(states[0], "float32"))

    parts = [ops.cast(np.float32([x]), "bfloat16") for x in a]
    found = differentiate.gradients(loss, *parts)[0]
    # x = 2, and so is each adjoint but for the ends.
    assert abs(float(found[0]) / (4 * 4000) - 1) < 0.01


@only_with_a_loop
@pytest.mark.parametrize(
    ("states", "batch", "length", "loop", "expected"),
    [
        (128, 8, 100, None, 1),
        (128, None, 100, None, 1),
        # A step's own cost is more than what it computes.
        (16, 8, 100, None, 2),
        (64, 1, 100, None, 2),
        (128, 8, None, None, 2),
        (256, 8, 100, None, 4),
        # Where a loop over blocks is slow.
        (256, 8, 100, 0, 1),
    ],
)
def test_auto_takes_single_steps_where_they_run_in_place(
    monkeypatch, states, batch, length, loop, expected
):
    monkeypatch.setattr(algorithm, "has_loop_in_place", lambda batch: True)
    monkeypatch.setattr(algorithm, "longest_loop", lambda: loop)
    monkeypatch.setattr(algorithm, "has_accelerator", lambda: False)
    sizes = min(states, 128), min(states, 128), states
    found = algorithm.resolve_block_size("auto", length, *sizes, batch=batch)
    assert found == expected
    if length is not None and expected == 1:
        assert (
            algorithm.resolve_scan("auto", length, batch, of_steps=True) == "sequential"
        )


@pytest.mark.skipif(BACKEND != "jax", reason="what XLA counts")
def test_a_block_keeps_eight_tensors_of_its_size():
    import jax

    depth, shape = 6, (4, 512, 64)
    blocks = [ResidualBlock(LRU(64, 64, return_sequences=True)) for _ in range(depth)]
    for block in blocks:
        block.build(shape)
    variables = [
        [
            [v.value for v in w]
            for w in (b.trainable_variables, b.non_trainable_variables)
        ]
        for b in blocks
    ]

    def loss(weights, x):
        for block, own, (_, other) in zip(blocks, weights, variables, strict=True):
            x, _ = block.stateless_call(own, other, x, training=True)
        return ops.sum(x * x)

    weights = [own for own, _ in variables]
    program = jax.jit(jax.grad(loss)).lower(weights, np.zeros(shape, "float32"))
    kept = program.compile().memory_analysis().temp_size_in_bytes
    # Its input, its normal form, the states (two), what GELU and the gate read (two)
    # and the gate's two factors; and a few on the way of one block.
    assert kept < (8 * depth + 6) * 4 * np.prod(shape)
