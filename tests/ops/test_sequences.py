import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru.ops import naive
from keras_lru.ops.linear_recurrence import linear_recurrence
from keras_lru.ops.sequences import compact, expand, take_step, take_steps

TIME, FEATURES = 5, 2
MASKS = {
    "none-masked": [[1, 1, 1, 1, 1], [1, 1, 1, 1, 1]],
    "right": [[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]],
    "left": [[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]],
    "both-sides": [[0, 1, 1, 0, 0], [0, 0, 0, 0, 1]],
    "holes": [[1, 0, 1, 0, 1], [0, 1, 0, 0, 1]],
    "one-row-masked": [[0, 0, 0, 0, 0], [1, 1, 0, 0, 0]],
    "all-masked": [[0, 0, 0, 0, 0], [0, 0, 0, 0, 0]],
    "row-masked-and-holes": [[0, 0, 0, 0, 0], [1, 0, 1, 0, 0]],
}


def cumulated(inputs, mask, initial=None, zero_output_for_mask=False):
    """Compact, run `x ← x/2 + u`, expand: the outputs and the last state."""
    mask = ops.cast(mask, "bool")
    compacted = compact(inputs, mask, starts_at_zero=initial is None)
    inputs, lengths = compacted.inputs, compacted.lengths
    half = ops.full((FEATURES,), 0.5)
    zero = ops.zeros_like(inputs)
    state = None if initial is None else (initial, ops.zeros_like(initial))
    (states, _), _ = linear_recurrence(
        (half, ops.zeros_like(half)), (inputs, zero), state
    )
    start = ops.zeros_like(inputs[:, 0]) if initial is None else initial
    before = ops.concatenate([start[:, None], states], axis=1)
    return expand(
        states, compacted, zero_output_for_mask=zero_output_for_mask
    ), take_step(before, lengths)


def loop(inputs, mask, initial=None, zero_output_for_mask=False):
    """Step by step, with the semantics of `keras.layers.LSTM`; gradients too."""
    identity = np.eye(FEATURES)
    outputs, last = naive.diagonal_ssm(
        inputs, np.full(FEATURES, 0.5), identity, identity, None, initial, mask
    )
    if zero_output_for_mask:
        outputs = np.where(np.asarray(mask)[..., None], outputs, 0)
    return outputs, last.real


def values(mask, seed=0):
    rng = np.random.default_rng(seed)
    shape = np.shape(mask)
    return [
        rng.normal(size=s).astype("float32")
        for s in ((*shape, FEATURES), (shape[0], FEATURES))
    ]


def check(evaluate, mode, mask, with_initial, zero_output_for_mask):
    mask = np.array(mask, "int32")
    inputs, initial = values(mask)
    arguments = {"inputs": inputs, "mask": mask}
    if with_initial:
        arguments["initial"] = initial
    expected = loop(
        inputs, mask, initial if with_initial else None, zero_output_for_mask
    )
    weights = [np.cos(np.arange(x.size)).reshape(x.shape) for x in expected]
    actual, gradients = evaluate(
        cumulated,
        arguments,
        [w.astype("float32") for w in weights],
        mode,
        ("inputs", "mask"),
        zero_output_for_mask=zero_output_for_mask,
    )
    for x, y in zip(actual, expected, strict=True):
        # At most five roundings of numbers of about one.
        np.testing.assert_allclose(x, y, atol=1e-6)

    # The map is linear: its gradient is its value on unit vectors.
    def at(inputs, initial=None):
        results = loop(inputs, mask, initial, zero_output_for_mask)
        return sum(np.sum(x * w) for x, w in zip(results, weights, strict=True))

    gradient = np.zeros_like(inputs)
    for index in np.ndindex(inputs.shape):
        unit = np.zeros_like(inputs)
        unit[index] = 1
        gradient[index] = at(unit)
    np.testing.assert_allclose(gradients["inputs"], gradient, atol=1e-6)
    np.testing.assert_array_equal(gradients["inputs"][mask == 0], 0)
    if with_initial:
        for index in np.ndindex(initial.shape):
            unit = np.zeros_like(initial)
            unit[index] = 1
            expected = at(np.zeros_like(inputs), unit)
            np.testing.assert_allclose(gradients["initial"][index], expected, atol=1e-6)


@pytest.mark.parametrize("mask", MASKS.values(), ids=MASKS)
@pytest.mark.parametrize("with_initial", [False, True], ids=["zero", "initial"])
@pytest.mark.parametrize("zero_output_for_mask", [False, True], ids=["hold", "zeros"])
def test_every_mask_gives_what_the_loop_gives(
    evaluate, fast_mode, mask, with_initial, zero_output_for_mask
):
    check(evaluate, fast_mode, mask, with_initial, zero_output_for_mask)


@pytest.mark.parametrize("name", ["left", "holes", "all-masked"])
def test_every_mode(evaluate, mode, name):
    check(evaluate, mode, MASKS[name], False, False)


@settings(deadline=None, max_examples=15)
@given(
    mask=st.lists(
        st.lists(st.integers(0, 1), min_size=TIME, max_size=TIME),
        min_size=2,
        max_size=2,
    ),
    with_initial=st.booleans(),
)
def test_any_mask(evaluate, fast_mode, mask, with_initial):
    check(evaluate, fast_mode, mask, with_initial, False)


@pytest.mark.parametrize("with_initial", [False, True], ids=["zero", "initial"])
def test_no_time(evaluate, traced_mode, with_initial):
    mask = np.zeros((2, 0), "int32")
    inputs, initial = values(mask)
    arguments = {"inputs": inputs, "mask": mask}
    if with_initial:
        arguments["initial"] = initial
    (outputs, last), _ = evaluate(
        compacted_and_expanded, arguments, None, traced_mode, ("inputs", "mask")
    )
    assert outputs.shape == (2, 0, FEATURES)
    np.testing.assert_array_equal(last, [0, 0])


def compacted_and_expanded(inputs, mask, initial=None):
    mask = ops.cast(mask, "bool")
    compacted = compact(inputs, mask, starts_at_zero=initial is None)
    expanded = expand(compacted.inputs, compacted, zero_output_for_mask=False)
    return expanded, compacted.lengths


def moved(mask, starts_at_zero):
    """Steps, numbered from 1, after `compact`, and the lengths."""
    mask = np.array(mask, bool)
    steps = np.broadcast_to(np.arange(1, TIME + 1)[None, :, None], (*mask.shape, 1))
    inputs, lengths, *_ = compact(
        ops.convert_to_tensor(steps.astype("float32")),
        mask,
        starts_at_zero=starts_at_zero,
    )
    inputs, lengths = ops.convert_to_numpy(inputs), ops.convert_to_numpy(lengths)
    return inputs[..., 0].tolist(), lengths.tolist()


def test_padding_stays_where_it_is():
    right = [[1, 1, 0, 0, 0], [1, 1, 1, 1, 1]]
    expected = ([[1, 2, 0, 0, 0], [1, 2, 3, 4, 5]], [2, 5])
    assert moved(right, starts_at_zero=True) == expected
    assert moved(right, starts_at_zero=False) == expected
    left = [[0, 0, 1, 1, 1], [0, 1, 1, 1, 0]]
    expected = ([[0, 0, 3, 4, 5], [0, 2, 3, 4, 0]], [5, 4])
    assert moved(left, starts_at_zero=True) == expected


def test_unmasked_steps_move_together_where_they_must():
    left = [[0, 0, 1, 1, 1], [1, 1, 0, 0, 0]]
    expected = ([[3, 4, 5, 0, 0], [1, 2, 0, 0, 0]], [3, 2])
    assert moved(left, starts_at_zero=False) == expected
    holes = [[1, 0, 1, 0, 1], [0, 0, 1, 0, 0]]
    expected = ([[1, 3, 5, 0, 0], [3, 0, 0, 0, 0]], [3, 1])
    assert moved(holes, starts_at_zero=True) == expected


def test_not_a_number_at_a_masked_step_is_gone():
    inputs = np.full((1, TIME, FEATURES), np.nan, "float32")
    inputs[:, 0] = 1
    for mask in ([[1, 0, 0, 0, 0]], [[1, 0, 0, 0, 0]]):
        for starts_at_zero in (True, False):
            result, *_ = compact(
                inputs, np.array(mask, bool), starts_at_zero=starts_at_zero
            )
            assert np.isfinite(ops.convert_to_numpy(result)).all()


def picked(x, index):
    return take_steps(x, index)


@pytest.mark.parametrize("steps", [0, 1, 4])
def test_take_steps_and_its_gradient(evaluate, mode, steps):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 3, FEATURES)).astype("float32")
    index = rng.integers(0, 3, (2, steps)).astype("int32")
    weights = rng.normal(size=(2, steps, FEATURES)).astype("float32")
    (actual,), gradients = evaluate(
        picked, {"x": x, "index": index}, [weights], mode, ("x", "index")
    )
    np.testing.assert_array_equal(actual, np.take_along_axis(x, index[..., None], 1))
    expected = np.zeros((2, 3, FEATURES))
    for b in range(2):
        for k in range(steps):
            expected[b, index[b, k]] += weights[b, k]
    np.testing.assert_allclose(gradients["x"], expected, atol=1e-6)


def test_take_step_by_hand():
    x = np.arange(12.0).reshape(2, 3, 2)
    np.testing.assert_array_equal(take_step(x, np.array([2, 0])), [[4, 5], [6, 7]])
