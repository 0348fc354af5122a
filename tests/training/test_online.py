"""Learning from a stream: exact gradients, and a memory that does not grow."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru import LRU, RGLRU, S4D, S5, DenseRNN, LRUBackbone, LRUBlock
from keras_lru.backend import compiled
from keras_lru.layers import ResidualBlock
from keras_lru.models import SequenceClassifier, SequenceForecaster, SequenceRegressor
from keras_lru.ops import naive
from keras_lru.training import OnlineLearner

from ..differentiate import gradients

KINDS = {
    "lru": lambda: LRU(4, state_size=5, r_min=0.9, r_max=0.999, seed=0),
    "lru, exp": lambda: LRU(4, state_size=3, parameterization="exp", seed=0),
    "lru, no gamma": lambda: LRU(
        4, state_size=3, r_max=0.9, parameterization="real_imag", normalize=False
    ),
    "s5": lambda: S5(4, state_size=6, seed=0),
    "s5, no pairs": lambda: S5(4, state_size=6, conjugate_symmetry=False, seed=0),
    "s4d": lambda: S4D(3, state_size=6, seed=0),
}
# These differ from others in little that matters here.
SLOW = (
    "lru, exp",
    "lru, no gamma",
    "s5",
    "s5, no pairs",
    "rms, half, postnorm",
    "blocks",
    "recurrences",
)


def with_head(layer, **kwargs):
    """A model with a recurrence, and something nonlinear after it."""
    layer.return_sequences = True
    return keras.Sequential(
        [layer, keras.layers.Activation("gelu"), keras.layers.Dense(2)], **kwargs
    )


def stream(batch, steps, features=3, outputs=2, seed=0):
    """Inputs and targets `(batch, steps, …)`."""
    rng = np.random.default_rng(seed)
    draw = [rng.normal(size=(batch, steps, n)) for n in (features, outputs)]
    return [x.astype("float32") for x in draw]


def summed(learner, inputs, targets, weights=None):
    """Sums of the losses and of the gradients of all steps."""
    total, sums = 0.0, None
    for t in range(inputs.shape[1]):
        weight = None if weights is None else weights[:, t]
        found = learner.gradients(inputs[:, t], targets[:, t], weight)
        arrays = [ops.convert_to_numpy(g).astype("float64") for g in found[2]]
        total += float(found[0])
        sums = [a + b for a, b in zip(sums or [0.0] * len(arrays), arrays, strict=True)]
    return total, sums


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="PyTorch's own")
def test_what_was_read_in_inference_mode_is_learned_from():
    import torch

    learner = OnlineLearner(with_head(KINDS["lru"]()), "mse", "sgd")
    inputs, targets = map(torch.as_tensor, stream(2, 3))
    learner.step(inputs[:, 0], targets[:, 0])
    with torch.inference_mode():
        learner.advance(inputs[:, 1])
    learner.step(inputs[:, 2], targets[:, 2])


def gradient_program(model):
    """Gradients of the mean square of each step, summed over the steps."""
    variables = model.trainable_variables

    @compiled
    def program(values, inputs, targets, weights):
        def loss(values):
            with keras.StatelessScope(zip(variables, values, strict=True)):
                outputs = model(inputs, training=True)
            square = ops.mean((outputs - targets) ** 2, axis=-1)
            return ops.sum(ops.mean(square * weights, axis=0))

        return gradients(loss, values)[0]

    def call(inputs, targets, weights=None):
        if weights is None:
            weights = np.ones(inputs.shape[:2], "float32")
        values = [ops.convert_to_tensor(ops.convert_to_numpy(v)) for v in variables]
        arrays = map(ops.convert_to_tensor, (inputs, targets, weights))
        return [ops.convert_to_numpy(g) for g in program(values, *arrays)]

    return call


def through_time(model, *arrays):
    """`gradient_program`, for once."""
    return gradient_program(model)(*arrays)


@pytest.fixture(scope="module")
def shared():
    """A learner, and the gradients that are right, compiled once for many tests."""
    model = with_head(KINDS["lru"]())
    model.build((3, None, 3))
    learner = OnlineLearner(model, "mse", keras.optimizers.SGD(0.01))
    return learner, gradient_program(model)


@pytest.fixture
def learner(shared):
    """That learner at the beginning of a stream of three rows."""
    shared[0].reset()
    return shared[0]


def assert_close(found, expected, tolerance=1e-5):
    """Each array to `tolerance` of its largest number."""
    assert len(found) == len(expected)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=tolerance * np.abs(b).max())


# Gradients


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param(kind, marks=[pytest.mark.slow] * (kind in SLOW), id=kind)
        for kind in KINDS
    ],
)
def test_gradients_add_up_to_those_of_backpropagation_through_time(kind):
    model = with_head(KINDS[kind]())
    steps = 1_000 if kind == "lru" else 100
    inputs, targets = stream(2, steps)
    learner = OnlineLearner(model, "mse")
    _, found = summed(learner, inputs, targets)
    assert_close(found, through_time(model, inputs, targets))


def test_gradients_are_differences_of_a_loop_in_float64():
    layer = LRU(2, state_size=3, r_min=0.5, return_sequences=True, seed=1)
    inputs, targets = stream(2, 6, features=2)
    _, found = summed(OnlineLearner(layer, "mse"), inputs, targets)
    names = [v.name for v in layer.trainable_variables]
    start = {
        v.name: np.float64(ops.convert_to_numpy(v)) for v in layer.trainable_variables
    }

    def loss(w):
        decay = np.exp(-np.exp(w["nu_log"]) + 1j * np.exp(w["theta_log"]))
        B = np.exp(w["gamma_log"]) * (w["B_re"] + 1j * w["B_im"])
        outputs, _ = naive.diagonal_ssm(
            inputs, decay, B, w["C_re"] + 1j * w["C_im"], w["D"]
        )
        return np.sum((outputs - targets) ** 2) / 4

    for name, gradient in zip(names, found, strict=True):
        for index in np.ndindex(gradient.shape):
            shifted = []
            for h in (1e-5, -1e-5):
                w = {key: value.copy() for key, value in start.items()}
                w[name][index] += h
                shifted.append(loss(w))
            expected = (shifted[0] - shifted[1]) / 2e-5
            assert gradient[index] == pytest.approx(expected, rel=1e-4, abs=1e-4)


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**16),
    at=st.integers(0, 6),
    rows=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_rows_that_start_again_learn_as_sequences_of_their_own(shared, seed, at, rows):
    steps = 6
    inputs, targets = stream(3, steps, seed=seed)
    weights = np.random.default_rng(seed).random((3, steps)).astype("float32")
    learner, whole = shared
    learner.reset()
    parts = []
    if at:
        parts.append(summed(learner, *(x[:, :at] for x in (inputs, targets, weights))))
    learner.reset(rows)
    if at < steps:
        parts.append(summed(learner, *(x[:, at:] for x in (inputs, targets, weights))))
    found = [sum(grads) for grads in zip(*(g for _, g in parts), strict=True)]

    # The second sequence of a row begins at the first step, with weight zero after it.
    restarts = np.array(rows)[:, None]
    first = weights * ~(restarts & (np.arange(steps) >= at))
    again = [np.roll(x, -at, axis=1) for x in (inputs, targets, weights)]
    second = again[2] * (restarts & (np.arange(steps) < steps - at))
    expected = [
        a + b
        for a, b in zip(
            whole(inputs, targets, first),
            whole(again[0], again[1], second),
            strict=True,
        )
    ]
    assert_close(found, expected, 1e-4)


def spatial_only(layer):
    """Lets the error through `layer` in the present step alone, over whole sequences.

    It is linear in its inputs: a step on its own has the derivative of every step.
    """
    call = layer.call

    def replaced(sequences, *args, **kwargs):
        whole = call(ops.stop_gradient(sequences))
        batch, steps, features = sequences.shape
        fixed = [
            (v, ops.stop_gradient(ops.convert_to_tensor(v))) for v in layer.variables
        ]
        with keras.StatelessScope(fixed):
            alone = call(ops.reshape(sequences, (batch * steps, 1, features)))
        alone = ops.reshape(alone, whole.shape)
        return whole + alone - ops.stop_gradient(alone)

    vars(layer)["call"] = replaced


STACKS = {
    "backbone": lambda: LRUBackbone(
        depth=2, units=4, state_size=3, normalization="layer", seed=0
    ),
    "rms, half, postnorm": lambda: LRUBackbone(
        depth=2,
        units=4,
        recurrence=S5(4, state_size=4, return_sequences=True),
        normalization="rms",
        glu="half",
        prenorm=False,
        seed=0,
    ),
    "blocks": lambda: keras.Sequential(
        [
            LRUBlock(4, normalization=None, return_sequences=True, seed=0),
            ResidualBlock(
                S4D(4, state_size=4, return_sequences=True, seed=1), None, seed=1
            ),
        ]
    ),
    "recurrences": lambda: keras.Sequential(
        [LRU(4, return_sequences=True, seed=0), LRU(4, return_sequences=True, seed=1)]
    ),
}


@pytest.mark.parametrize(
    "stack",
    [
        pytest.param(stack, marks=[pytest.mark.slow] * (stack in SLOW), id=stack)
        for stack in STACKS
    ],
)
def test_in_a_stack_the_error_goes_down_in_the_present_step(stack):
    model = STACKS[stack]()
    inputs, targets = stream(2, 20, outputs=4)
    learner = OnlineLearner(model, "mse")
    _, found = summed(learner, inputs, targets)
    exact = through_time(model, inputs, targets)
    recurrences = [x for x in model._flatten_layers() if isinstance(x, LRU | S4D | S5)]
    assert len(recurrences) == 2
    for layer in recurrences:
        spatial_only(layer)
    # Through normalizations, parts of a gradient cancel: to its rounding alone.
    assert_close(found, through_time(model, inputs, targets), 1e-4)

    # What is above the last recurrence's input has the whole gradient.
    top = {id(v) for v in recurrences[-1].trainable_variables}
    pairs = zip(found, exact, strict=True)
    is_top = [id(v) in top for v in model.trainable_variables]
    for (a, b), on_top in zip(pairs, is_top, strict=True):
        if on_top:
            assert_close([a], [b], 1e-4)
    assert not np.allclose(found[0], exact[0], rtol=1e-3)


def test_tokens_and_their_embedding_learn():
    model = LRUBackbone(
        depth=1, units=4, state_size=3, vocabulary_size=5, normalization=None, seed=0
    )
    tokens = np.random.default_rng(0).integers(0, 5, (2, 20)).astype("int32")
    _, targets = stream(2, 20, outputs=4)
    _, found = summed(OnlineLearner(model, "mse"), tokens, targets)
    (layer,) = (x for x in model._flatten_layers() if isinstance(x, LRU))
    spatial_only(layer)
    assert_close(found, through_time(model, tokens, targets))


def test_outputs_are_those_of_the_whole_sequence(learner):
    inputs, targets = stream(3, 12)
    whole = ops.convert_to_numpy(learner.model(inputs))
    losses = np.mean((whole - targets) ** 2, axis=(0, 2))
    for t in range(12):
        if t % 3:
            loss, outputs, _ = learner.gradients(inputs[:, t], targets[:, t])
            assert float(loss) == pytest.approx(losses[t], rel=1e-4)
        else:
            outputs = learner.advance(inputs[:, t])
        np.testing.assert_allclose(
            ops.convert_to_numpy(outputs), whole[:, t], atol=1e-5
        )


def test_what_was_read_without_a_target_is_learned_from_later(shared, learner):
    inputs, targets = stream(3, 6)
    for t in range(5):
        learner.advance(inputs[:, t])
    _, _, found = learner.gradients(inputs[:, 5], targets[:, 5])
    weights = np.float32(np.arange(6) == 5) * np.ones((3, 1), "float32")
    expected = shared[1](inputs, targets, weights)
    assert_close([ops.convert_to_numpy(g) for g in found], expected)


def test_losses_of_the_model_count_at_each_step():
    layer = LRU(
        2,
        return_sequences=True,
        output_regularizer=keras.regularizers.L2(0.1),
        activity_regularizer=keras.regularizers.L2(0.1),
        seed=0,
    )
    plain = LRU(2, return_sequences=True, seed=0)
    inputs, targets = stream(2, 1)
    step = inputs[:, 0], targets[:, 0]
    more, outputs, found = OnlineLearner(layer, "mse").gradients(*step)
    less, _, without = OnlineLearner(plain, "mse").gradients(*step)
    y = ops.convert_to_numpy(outputs)
    C = np.array([ops.convert_to_numpy(w) for w in (plain.cell.C_re, plain.cell.C_im)])
    expected = 0.1 * np.sum(C**2) + 0.1 * np.sum(y**2) / 2
    assert float(more) - float(less) == pytest.approx(expected, rel=1e-3)
    names = [v.name for v in layer.trainable_variables]
    assert names[-1] == "D"
    # Of its outputs too, which D makes.
    assert not np.allclose(*(ops.convert_to_numpy(g[-1]) for g in (found, without)))


# Steps


def test_a_step_gives_the_gradients_to_the_optimizer(learner):
    step = [x[:, 0] for x in stream(3, 1)]
    variables = learner.model.trainable_variables
    loss, outputs, found = learner.gradients(*step)
    before = [np.array(ops.convert_to_numpy(v)) for v in variables]
    count = int(learner.optimizer.iterations)
    learner.reset()
    same_loss, same_outputs = learner.step(*step)
    assert float(same_loss) == pytest.approx(float(loss))
    np.testing.assert_allclose(
        *map(ops.convert_to_numpy, (outputs, same_outputs)), rtol=1e-5
    )
    for variable, w, g in zip(variables, before, found, strict=True):
        expected = w - 0.01 * ops.convert_to_numpy(g)
        np.testing.assert_allclose(ops.convert_to_numpy(variable), expected, atol=1e-6)
    assert int(learner.optimizer.iterations) == count + 1


def test_the_optimizer_may_take_its_steps_more_rarely():
    model = with_head(KINDS["lru"]())
    inputs, targets = stream(2, 6)
    optimizer = keras.optimizers.Adam(0.1, gradient_accumulation_steps=3)
    learner = OnlineLearner(model, "mse", optimizer)
    changes = []
    for t in range(6):
        before = model.get_weights() if t else None
        learner.step(inputs[:, t], targets[:, t])
        if t:
            pairs = zip(before, model.get_weights(), strict=True)
            changes.append(any(np.any(a != b) for a, b in pairs))
    assert changes == [False, True, False, False, True]


@pytest.mark.slow
def test_frozen_parts_stay_as_they_are():
    backbone = LRUBackbone(depth=1, units=4, state_size=3, seed=0)
    inputs, targets = stream(2, 3, outputs=4)
    backbone(inputs, training=True)
    norm, encoder = backbone.blocks[0].norm, backbone.encoder
    # Batch normalization then takes its moving statistics, as in inference.
    norm.trainable = encoder.trainable = False
    frozen = [*norm.get_weights(), *encoder.get_weights()]
    whole = ops.convert_to_numpy(backbone(inputs, training=False))
    learner = OnlineLearner(backbone, "mse", keras.optimizers.SGD(0.1))
    for t in range(3):
        _, outputs = learner.step(inputs[:, t], targets[:, t])
        if t == 0:
            np.testing.assert_allclose(
                ops.convert_to_numpy(outputs), whole[:, 0], atol=1e-5
            )
    for a, b in zip(frozen, [*norm.get_weights(), *encoder.get_weights()], strict=True):
        np.testing.assert_array_equal(a, b)


def test_dropout_draws_anew_at_each_step_and_never_in_advance():
    block = LRUBlock(16, normalization=None, dropout=0.5, return_sequences=True, seed=0)
    learner = OnlineLearner(block, "mse", keras.optimizers.SGD(0.0))
    x, y = np.ones((1, 16), "float32"), np.zeros((1, 16), "float32")

    def again(read):
        learner.reset()
        return ops.convert_to_numpy(read())

    first, second = (again(lambda: learner.step(x, y)[1]) for _ in range(2))
    assert not np.allclose(first, second)
    first, second = (again(lambda: learner.advance(x)) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.slow
def test_states_and_sensitivities_are_float32_in_half_precision():
    layer = LRU(4, return_sequences=True, seed=0, dtype="mixed_bfloat16")
    learner = OnlineLearner(layer, "mse")
    inputs, targets = stream(2, 3, outputs=4)
    for t in range(3):
        loss, outputs = learner.step(inputs[:, t], targets[:, t])
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    parts = keras.tree.flatten(learner.memory)
    assert {keras.backend.standardize_dtype(x.dtype) for x in parts} == {"float32"}
    assert np.isfinite(float(loss))


# Memory


def test_what_is_carried_does_not_grow(learner):
    assert learner.memory == {}
    inputs, targets = stream(3, 1_000)
    shapes = {}
    for t in range(1_000):
        learner.step(inputs[:, t], targets[:, t])
        if t + 1 in (1, 10, 1_000):
            parts = keras.tree.flatten(learner.memory)
            shapes[t + 1] = [tuple(x.shape) for x in parts]
    assert shapes[1] == shapes[10] == shapes[1_000]
    assert shapes[1] == 4 * [(3, 5)] + 2 * [(3, 3, 5)]


def test_an_s4d_carries_one_number_for_each_of_its_inputs():
    learner = OnlineLearner(S4D(3, state_size=6, return_sequences=True), "mse")
    learner.advance(np.ones((2, 3), "float32"))
    parts = keras.tree.flatten(learner.memory)
    assert [tuple(x.shape) for x in parts] == 6 * [(2, 9)]


def test_a_restart_is_clean_whatever_was_there(learner):
    x = np.ones((3, 3), "float32")
    learner.reset([0])
    first = ops.convert_to_numpy(learner.advance(x))
    bad = x.copy()
    bad[1] = np.nan
    learner.advance(bad)
    before = next(iter(learner.memory.values()))
    learner.reset([1])
    after = next(iter(learner.memory.values()))
    for old, new in zip(*map(keras.tree.flatten, (before, after)), strict=True):
        old, new = map(ops.convert_to_numpy, (old, new))
        assert not np.any(new[1])
        np.testing.assert_array_equal(new[[0, 2]], old[[0, 2]])
    outputs = ops.convert_to_numpy(learner.advance(x))
    np.testing.assert_allclose(outputs[1], first[1], atol=1e-6)
    assert not np.allclose(outputs[0], first[0])

    # All of them: the batch may have another size then.
    learner.reset()
    assert learner.memory == {}
    np.testing.assert_allclose(
        ops.convert_to_numpy(learner.advance(x[:1])), first[:1], atol=1e-6
    )


def test_one_program_for_all_steps():
    calls = []

    def counted(targets, outputs):
        calls.append(None)
        return ops.mean((outputs - targets) ** 2, axis=-1)

    learner = OnlineLearner(with_head(KINDS["lru"]()), counted)
    inputs, targets = stream(2, 5)
    for t in range(5):
        learner.step(inputs[:, t], targets[:, t])
    assert len(calls) == (5 if keras.backend.backend() == "torch" else 1)


# Refusals


def sequential(*layers):
    return keras.Sequential([keras.Input((None, 4)), *layers])


REFUSED = {
    "`go_backwards` must be False": lambda: sequential(
        LRU(4, return_sequences=True, go_backwards=True)
    ),
    "`stateful` must be False": lambda: keras.Sequential(
        [LRU(4, return_sequences=True, stateful=True)]
    ),
    "`return_sequences` must be True": lambda: LRU(4),
    "`return_state` must be False": lambda: LRU(
        4, return_sequences=True, return_state=True
    ),
    "`mask_zero` must be False": lambda: LRUBackbone(
        1, 4, 4, vocabulary_size=5, mask_zero=True, normalization=None
    ),
    "`bidirectional` must be False": lambda: LRUBackbone(
        1, 4, 4, bidirectional=True, normalization=None
    ),
    "`recurrence` must be linear and diagonal .* 'rg_lru' .RGLRU.": lambda: sequential(
        RGLRU(4, return_sequences=True, name="rg_lru")
    ),
    "`recurrence` must be .* 'dense_rnn' .DenseRNN.": lambda: sequential(
        DenseRNN(4, return_sequences=True, name="dense_rnn")
    ),
    "`recurrence` must be .* 'lstm' .LSTM.": lambda: sequential(
        LRU(4, return_sequences=True),
        keras.layers.LSTM(4, return_sequences=True, name="lstm"),
    ),
    '`normalization` must be None, "layer" or "rms" .* normalization="batch"': lambda: (
        LRUBackbone(1, 4, 4)
    ),
    "`model` must have no mask": lambda: sequential(
        keras.layers.Masking(), LRU(4, return_sequences=True)
    ),
    "`pooling` must not be .* pooling='mean'": lambda: SequenceClassifier(
        2, depth=1, units=4, state_size=4, normalization=None
    ),
    "`return_sequences` must be True .* return_sequences=False in layer 'lru_block'": (
        lambda: LRUBlock(4, normalization=None, name="lru_block")
    ),
    "`model` must remember in its recurrences alone": lambda: SequenceForecaster(
        1, depth=1, units=4, state_size=4, normalization=None
    ),
    "`model` must have a recurrence": lambda: sequential(keras.layers.Dense(2)),
    "`model` must be a keras.Model, or a recurrent layer": lambda: "lru",
}


@pytest.mark.parametrize("message", REFUSED)
def test_what_cannot_learn_online_is_refused_when_the_learner_is_made(message):
    model = REFUSED[message]()
    with pytest.raises(ValueError, match=message) as error:
        OnlineLearner(model, "mse")
    assert "Received: " in str(error.value)


MIXED = {
    "must look at each step alone": lambda: [
        LRU(4, return_sequences=True),
        keras.layers.Conv1D(4, 2, padding="causal"),
    ],
    "an output for each step": lambda: [
        LRU(4, return_sequences=True),
        keras.layers.GlobalAveragePooling1D(),
    ],
}


@pytest.mark.parametrize("message", MIXED)
def test_what_mixes_steps_otherwise_is_refused_at_the_first_one(message):
    model = sequential(*MIXED[message]())
    before = model.get_weights()
    learner = OnlineLearner(model, "mse")
    with pytest.raises(ValueError, match=message):
        learner.step(np.ones((2, 4), "float32"), np.ones((2, 4), "float32"))
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_recurrence_that_is_called_twice_is_refused():
    layer = LRU(4, return_sequences=True, name="shared")
    inputs = keras.Input((None, 4))
    model = keras.Model(inputs, layer(layer(inputs)))
    learner = OnlineLearner(model, "mse")
    with pytest.raises(ValueError, match="call layer 'shared' once"):
        learner.advance(np.ones((2, 4), "float32"))


def test_wrong_arguments_are_refused():
    layer = LRU(4, return_sequences=True)
    for loss in ("no such loss", None, 3):
        with pytest.raises(ValueError, match=r"`loss` .*Received: loss="):
            OnlineLearner(layer, loss)
    with pytest.raises(ValueError, match=r"`optimizer` must .*optimizer='no such"):
        OnlineLearner(layer, "mse", "no such optimizer")
    frozen = LRU(4, return_sequences=True, trainable=False)
    with pytest.raises(ValueError, match="`model` must have trainable weights"):
        OnlineLearner(frozen, "mse").advance(np.ones((2, 3), "float32"))

    learner = OnlineLearner(layer, "mse")
    learner.advance(np.ones((2, 3), "float32"))
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(2, 3\)"):
        learner.advance(np.ones((1, 3), "float32"))
    with pytest.raises(ValueError, match="`inputs` must be real"):
        learner.advance(np.ones((2, 3), "complex64"))
    for rows in ([2], [True], [0.5]):
        with pytest.raises(ValueError, match=r"`rows` must be integers below .* 2, or"):
            learner.reset(rows)


# Learning


def test_it_learns_to_say_what_it_read_some_steps_ago():
    delay, batch = 4, 8
    rng = np.random.default_rng(0)
    bits = rng.choice([-1.0, 1.0], size=(600, batch, 1)).astype("float32")
    model = keras.Sequential(
        [
            LRU(16, state_size=16, r_min=0.8, r_max=1.0, return_sequences=True, seed=0),
            keras.layers.Dense(1, kernel_initializer=keras.initializers.HeNormal(0)),
        ]
    )
    learner = OnlineLearner(model, "mse", keras.optimizers.Adam(0.01))
    losses = []
    for t in range(len(bits)):
        if t < delay:
            learner.advance(bits[t])
        else:
            losses.append(float(learner.step(bits[t], bits[t - delay])[0]))
    # Who remembers nothing has a loss of 1.
    assert np.mean(losses[-50:]) < 0.1 < 0.5 < np.mean(losses[:20])


@pytest.mark.slow
def test_models_with_a_head_for_each_step_learn():
    model = SequenceRegressor(
        1, depth=1, units=4, state_size=4, normalization="layer", seed=0
    )
    learner = OnlineLearner(model, "mse", "adam")
    inputs, targets = stream(2, 3, outputs=1)
    for t in range(3):
        loss, outputs = learner.step(inputs[:, t], targets[:, t])
    assert tuple(outputs.shape) == (2, 1)
    assert np.isfinite(float(loss))
