"""Bad arguments and inputs: refused early, by name, with what was received."""

import keras
import numpy as np
import pytest

from .arguments import BAD_OF_CELL, BAD_OF_LAYER
from .kinds import KINDS, each_kind
from .sequences import BATCH, TIME, numpy_of_all


def arguments_of_cells():
    for name, cases in BAD_OF_CELL.items():
        for arguments, message in cases:
            yield pytest.param(
                KINDS[name], arguments, message, id=f"{name}-{arguments}"
            )


def arguments_of_layers():
    for kind in KINDS.values():
        for name in (*kind.solver_options, "unroll"):
            for arguments, message in BAD_OF_LAYER[name]:
                yield pytest.param(
                    kind,
                    arguments,
                    message.replace("{layer}", kind.layer.__name__),
                    id=f"{kind}-{arguments}",
                )


@pytest.mark.parametrize(
    ("kind", "arguments", "message"), [*arguments_of_cells(), *arguments_of_layers()]
)
def test_bad_argument(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind.layer(**{**kind.sizes, **arguments})


@pytest.mark.parametrize(("kind", "arguments", "message"), [*arguments_of_cells()])
def test_bad_argument_of_the_cell(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind.cell(**{**kind.sizes, **arguments})


@pytest.mark.parametrize("kind", each_kind(fast=None))
def test_autocast_as_keras_has_it(kind):
    """It is what the layers do; Keras's other way has no meaning here."""
    for make in (kind.make, kind.make_cell):
        make(autocast=True)
        with pytest.raises(ValueError, match=r"`autocast` must be True.*False"):
            make(autocast=False)


# Inputs, both of tensors and of a functional model


def eager(shape):
    return np.zeros(shape, "float32")


def symbolic(shape):
    return keras.Input(batch_shape=shape)


each = pytest.mark.parametrize("kind", each_kind(fast=None))
either = pytest.mark.parametrize("tensor", [eager, symbolic])


def shape_of(kind):
    return BATCH, TIME, kind.features


@either
@each
def test_wrong_rank(kind, tensor):
    for shape in ((3, 2), (3, 7, 2, 2), (3,)):
        with pytest.raises(ValueError, match=r"expected ndim=3.*received"):
            kind.make(built=False)(tensor(shape))


@each
def test_complex_inputs(kind):
    x = kind.inputs() + 1j
    with pytest.raises(ValueError, match=r"`inputs` must be real.*complex"):
        kind.shared(x)
    with pytest.raises(ValueError, match=r"`inputs` must be real.*complex"):
        kind.shared.cell(x[:, 0], kind.states())
    symbolic = keras.KerasTensor(x.shape, "complex64")
    with pytest.raises(ValueError, match=r"`inputs` must be real.*complex64"):
        kind.shared.compute_output_spec(symbolic)


@each
def test_wrong_rank_when_built(kind):
    with pytest.raises(ValueError, match=r"\(batch, time, input_dim\).*\(3, 2\)"):
        kind.make(built=False).build((3, 2))


@either
@each
def test_other_features_than_at_first(kind, tensor):
    message = rf"expected axis -1 .* value {kind.features}, .*7, 5"
    with pytest.raises(ValueError, match=message):
        kind.shared(tensor((BATCH, TIME, 5)))


@each
def test_unknown_features(kind):
    with pytest.raises(ValueError, match=r"last dimension of `inputs`.*\(None, None\)"):
        kind.make(built=False)(keras.Input((5, None)))


@pytest.mark.parametrize("built", [True, False])
@either
@each
def test_mask_of_wrong_shape(kind, tensor, built):
    message = r"`mask` must be .* \(batch, time\) = \(3, 7\).*Received: shape \(3|4"
    layer = kind.shared if built else kind.make(built=False)
    for shape in ((BATCH, TIME + 1), (BATCH + 1, TIME), (BATCH,), (BATCH, TIME, 2)):
        with pytest.raises(ValueError, match=message):
            layer(tensor(shape_of(kind)), mask=tensor(shape))


@each
def test_mask_that_is_no_tensor(kind):
    layer = kind.shared
    for mask in (True, [[True] * TIME] * BATCH):
        with pytest.raises(
            ValueError, match=r"`mask` must be a tensor.*Received.*True"
        ):
            layer(kind.inputs(), mask=mask)


@either
@each
def test_wrong_initial_state(kind, tensor):
    layer, x = kind.shared, tensor(shape_of(kind))
    n, count = kind.num_states, len(kind.state_names)
    names = ", ".join(kind.state_names)
    for parts in (0, count + 1):
        with pytest.raises(
            ValueError, match=rf"`initial_state` must be a list \[{names}\].*Received"
        ):
            layer(x, initial_state=[tensor((BATCH, n))] * parts)
    for shape in ((BATCH, n + 1), (BATCH - 1, n), (BATCH,)):
        state = [tensor((BATCH, n))] * (count - 1) + [tensor(shape)]
        received = str(shape).replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(
            ValueError,
            match=rf"`initial_state`.* = \(3, {n}\).*Received: shape {received}",
        ):
            layer(x, initial_state=state)


@each
def test_initial_state_that_is_no_list_of_tensors(kind):
    layer, count = kind.shared, len(kind.state_names)
    stacked = np.zeros((2, BATCH, kind.num_states), "float32")
    for state in (stacked, [None] * count, [1.0] * count, "zero"):
        with pytest.raises(ValueError, match=r"`initial_state`.*Received"):
            layer(kind.inputs(), initial_state=state)


@each
def test_stateful_needs_a_batch_size(kind):
    layer = kind.make(built=False, stateful=True)
    message = rf"batch size must be static.*\(None, None, {kind.features}"
    with pytest.raises(ValueError, match=message):
        layer(keras.Input((None, kind.features)))


@either
@each
def test_stateful_keeps_its_batch_size(kind, tensor):
    layer = kind.make(stateful=True)
    message = (
        rf"batch size it was built with, 3\. Received: .*\(4, 7, {kind.features}\)"
    )
    for state in (None, kind.states(BATCH + 1)):
        with pytest.raises(ValueError, match=message):
            layer(tensor((BATCH + 1, TIME, kind.features)), initial_state=state)


@pytest.mark.parametrize("kind", each_kind(fast=["lru"]))
def test_a_refused_call_leaves_the_state_as_it_was(kind):
    layer = kind.make(stateful=True)
    kept = kind.states()
    for variable, state in zip(layer.states, kept, strict=True):
        variable.assign(state)
    with pytest.raises(ValueError, match="`mask`"):
        layer(kind.inputs(), mask=np.ones((BATCH, 1), bool))
    for before, after in zip(kept, numpy_of_all(layer.states), strict=True):
        np.testing.assert_array_equal(before, after)


@each
def test_wrong_states_of_the_cell(kind):
    cell, n = kind.make_cell(), kind.num_states
    one = np.zeros((BATCH, n), "float32")
    other = np.zeros((BATCH, n + 1), "float32")
    count = len(kind.state_names)
    for states in ([other] * count, [one] * (count + 1), None):
        with pytest.raises(ValueError, match=r"`states`.*Received"):
            cell(kind.inputs()[:, 0], states=states)


# Kinds of which an argument or a property is part


@pytest.mark.parametrize("name", [n for n in KINDS if "x_re" in KINDS[n].state_names])
def test_eigenvalues_before_there_are_weights(name):
    kind = KINDS[name]
    for each in (kind.make(built=False), kind.make_cell()):
        with pytest.raises(ValueError, match=r"do not exist yet.*build"):
            _ = each.eigenvalues


@either
@pytest.mark.parametrize("name", ["lru", "s5", "dense_rnn"])
def test_vector_feedthrough_of_other_dimensions(name, tensor):
    kind = KINDS[name]
    message = f'`feedthrough="vector"` .*units={kind.units}, inputs of 2 features'
    with pytest.raises(ValueError, match=message):
        kind.make(built=False, feedthrough="vector")(tensor(shape_of(kind)))


@pytest.mark.parametrize(
    "name", ["input_initializer", "recurrent_regularizer", "output_constraint"]
)
def test_options_of_weights_are_named(name):
    with pytest.raises(ValueError, match=rf"`{name}` must be .*Received: {name}='no'"):
        KINDS["lru"].make(**{name: "no"})
