"""Bad arguments and inputs: refused early, by name, with what was received."""

import keras
import numpy as np
import pytest

from keras_lru.layers import LRU, LRUCell

from .lru_reference import (
    BATCH,
    FEATURES,
    STATES,
    TIME,
    UNITS,
    initial_state,
    inputs,
    make,
)

CELL_ARGUMENTS = [
    ({"units": 0}, "`units` must be a positive integer. Received: units=0"),
    ({"units": -1}, "`units` .*units=-1"),
    ({"units": 2.0}, r"`units` .*units=2\.0"),
    ({"units": True}, "`units` .*units=True"),
    ({"units": None}, "`units` .*units=None"),
    ({"units": "4"}, "`units` .*units='4'"),
    ({"state_size": 0}, "`state_size` must be a positive integer.*state_size=0"),
    ({"state_size": [3, 3]}, r"`state_size` .*state_size=\[3, 3\]"),
    ({"r_min": -0.1}, r"`r_min` must be .*r_min=-0\.1"),
    ({"r_max": 1.1}, r"`r_max` must be .*r_max=1\.1"),
    ({"r_min": np.nan}, "`r_min` must be .*r_min=nan"),
    ({"r_max": "1"}, "`r_max` must be .*r_max='1'"),
    ({"r_min": 0.9, "r_max": 0.5}, r"`r_min` .*`r_max`.*r_min=0\.9, r_max=0\.5"),
    ({"max_phase": -1}, "`max_phase` must be .*max_phase=-1"),
    ({"max_phase": np.inf}, "`max_phase` must be .*max_phase=inf"),
    ({"parameterization": "polar"}, "`parameterization` must be one of .*'polar'"),
    ({"parameterization": ["exp"]}, r"`parameterization` must be .*\['exp'\]"),
    ({"feedthrough": "dense"}, "`feedthrough` must be one of .*'dense'"),
    ({"feedthrough": None}, "`feedthrough` must be one of .*None"),
    ({"seed": 1.5}, r"`seed` must be an integer or None.*seed=1\.5"),
    ({"seed": "1"}, "`seed` must be an integer or None.*seed='1'"),
    ({"bias": True}, "bias"),
    ({"input_initializer": "no_such"}, "no_such"),
    ({"input_regularizer": "no_such"}, "no_such"),
]
LAYER_ARGUMENTS = [
    ({"scan": "fast"}, "`scan` must be one of .*'fast'"),
    ({"scan": None}, "`scan` must be one of .*None"),
    ({"block_size": 0}, "`block_size` must be .*block_size=0"),
    ({"block_size": 2.0}, r"`block_size` must be .*block_size=2\.0"),
    ({"block_size": "big"}, "`block_size` must be .*'big'"),
    ({"unroll": True}, "`unroll` is not an argument of LRU.*unroll=True"),
    ({"unroll": False}, "`unroll` is not an argument of LRU.*unroll=False"),
]


@pytest.mark.parametrize(("arguments", "message"), CELL_ARGUMENTS + LAYER_ARGUMENTS)
def test_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        LRU(**{"units": 4, **arguments})


@pytest.mark.parametrize(("arguments", "message"), CELL_ARGUMENTS)
def test_bad_argument_of_the_cell(arguments, message):
    with pytest.raises(ValueError, match=message):
        LRUCell(**{"units": 4, **arguments})


# Inputs, both of tensors and of a functional model


def eager(shape):
    return np.zeros(shape, "float32")


def symbolic(shape):
    return keras.Input(batch_shape=shape)


either = pytest.mark.parametrize("tensor", [eager, symbolic])


@either
@pytest.mark.parametrize("shape", [(3, 2), (3, 7, 2, 2), (3,)])
def test_wrong_rank(tensor, shape):
    with pytest.raises(ValueError, match=r"expected ndim=3.*received"):
        make(built=False)(tensor(shape))


def test_wrong_rank_when_built():
    with pytest.raises(ValueError, match=r"\(batch, time, input_dim\).*\(3, 2\)"):
        make(built=False).build((3, 2))


@either
def test_other_features_than_at_first(tensor):
    with pytest.raises(ValueError, match=r"expected axis -1 .* value 2, .*7, 5"):
        make()(tensor((BATCH, TIME, 5)))


def test_unknown_features():
    with pytest.raises(ValueError, match=r"last dimension of `inputs`.*\(None, None\)"):
        make(built=False)(keras.Input((5, None)))


@either
def test_vector_feedthrough_of_other_dimensions(tensor):
    message = '`feedthrough="vector"` .*units=4, inputs of 2 features'
    with pytest.raises(ValueError, match=message):
        make(built=False, feedthrough="vector")(tensor((BATCH, TIME, FEATURES)))


@either
@pytest.mark.parametrize(
    "shape", [(BATCH, TIME + 1), (BATCH + 1, TIME), (BATCH,), (BATCH, TIME, 1)], ids=str
)
@pytest.mark.parametrize("built", [True, False])
def test_mask_of_wrong_shape(tensor, shape, built):
    message = r"`mask` must be .* \(batch, time\) = \(3, 7\).*Received: shape \(3|4"
    with pytest.raises(ValueError, match=message):
        make(built=built)(tensor((BATCH, TIME, FEATURES)), mask=tensor(shape))


@pytest.mark.parametrize("mask", [True, [[True] * TIME] * BATCH])
def test_mask_that_is_no_tensor(mask):
    with pytest.raises(ValueError, match=r"`mask` must be a tensor.*Received: .*True"):
        make()(inputs(), mask=mask)


@either
@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        ([(3, 3)], r"`initial_state` must be a list \[x_re, x_im\]"),
        ([(3, 3)] * 3, r"`initial_state` must be a list \[x_re, x_im\]"),
        ([(3, 4)] * 2, r"`initial_state`.* = \(3, 3\).*Received: shape \(3, 4\)"),
        ([(3, 3), (3, 4)], r"`initial_state`.* = \(3, 3\).*Received: shape \(3, 4\)"),
        ([(2, 3)] * 2, r"`initial_state`.* = \(3, 3\).*Received: shape \(2, 3\)"),
        ([(3,)] * 2, r"`initial_state`.* = \(3, 3\).*Received: shape \(3,\)"),
    ],
    ids=str,
)
def test_wrong_initial_state(tensor, shapes, message):
    x = tensor((BATCH, TIME, FEATURES))
    state = [tensor(shape) for shape in shapes]
    with pytest.raises(ValueError, match=message):
        make()(x, initial_state=state)


@pytest.mark.parametrize(
    "state", [np.zeros((2, BATCH, STATES), "float32"), [None, None], [1.0, 2.0], "zero"]
)
def test_initial_state_that_is_no_pair_of_tensors(state):
    with pytest.raises(ValueError, match=r"`initial_state`.*Received"):
        make()(inputs(), initial_state=state)


def test_stateful_needs_a_batch_size():
    layer = make(built=False, stateful=True)
    with pytest.raises(ValueError, match=r"batch size must be static.*\(None, None, 2"):
        layer(keras.Input((None, FEATURES)))


@pytest.mark.parametrize("state", [None, initial_state(BATCH + 1)])
@either
def test_stateful_keeps_its_batch_size(tensor, state):
    layer = make(stateful=True)
    message = r"batch size it was built with, 3\. Received: .*\(4, 7, 2\)"
    with pytest.raises(ValueError, match=message):
        layer(tensor((BATCH + 1, TIME, FEATURES)), initial_state=state)


def test_a_refused_call_leaves_the_state_as_it_was():
    layer = make(stateful=True)
    layer(inputs())
    kept = [np.array(state) for state in layer.states]
    with pytest.raises(ValueError, match="`mask`"):
        layer(inputs(), mask=np.ones((BATCH, 1), bool))
    for before, after in zip(kept, layer.states, strict=True):
        np.testing.assert_array_equal(before, np.array(after))


def test_eigenvalues_before_there_are_weights():
    layer = make(built=False)
    with pytest.raises(ValueError, match=r"do not exist yet.*build"):
        _ = layer.eigenvalues


@pytest.mark.parametrize(
    "states",
    [
        [np.zeros((BATCH, UNITS + 1), "float32")] * 2,
        [np.zeros((BATCH, UNITS), "float32")],
        None,
    ],
)
def test_wrong_states_of_the_cell(states):
    with pytest.raises(ValueError, match=r"`states`.*Received"):
        LRUCell(UNITS)(np.zeros((BATCH, FEATURES), "float32"), states=states)
