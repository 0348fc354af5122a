"""On PyTorch a layer is a module, in PyTorch's own loops, transforms and exports."""

import keras
import numpy as np
import pytest

from keras_lru import LRU, RGLRU, S4D, S5, DenseRNN, SequenceClassifier

from .sequences import CLOSE, MASKS, normal

torch = pytest.importorskip("torch") if keras.backend.backend() == "torch" else None
pytestmark = pytest.mark.skipif(torch is None, reason="PyTorch's own")

MAKE = {
    "lru": lambda: LRU(4, state_size=5, return_sequences=True),
    "s4d": lambda: S4D(3, state_size=4, return_sequences=True),
    "s5": lambda: S5(4, state_size=4, return_sequences=True),
    "rg_lru": lambda: RGLRU(3, return_sequences=True),
    "dense_rnn": lambda: DenseRNN(4, state_size=5, return_sequences=True),
}
every = pytest.mark.parametrize("make", MAKE.values(), ids=MAKE.keys())


def built(make):
    layer = make()
    layer.build((None, None, 3))
    return layer


def inputs(*shape):
    return torch.as_tensor(normal(*shape))


def assert_close(found, expected, **close):
    np.testing.assert_allclose(
        found.detach().numpy(), expected.detach().numpy(), **{**CLOSE, **close}
    )


@every
def test_a_loop_of_pytorch_trains_every_weight(make):
    layer, x = built(make), inputs(2, 7, 3)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.01)
    before = layer.get_weights()
    losses = []
    for _ in range(3):
        optimizer.zero_grad()
        loss = layer(x).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > losses[1] > losses[2]
    for old, new in zip(before, layer.weights, strict=True):
        assert not np.array_equal(old, new.numpy()), new.path


def test_state_dict_carries_a_model_over():
    x = inputs(2, 7, 3)
    first, second = (
        SequenceClassifier(3, depth=2, units=4, state_size=4, seed=seed, name="model")
        for seed in (0, 1)
    )
    expected = first(x)
    assert not torch.allclose(second(x), expected)
    second.load_state_dict(first.state_dict())
    assert_close(second(x), expected, rtol=0, atol=0)


@every
def test_vmap(make):
    layer, xs = built(make), inputs(3, 2, 7, 3)
    assert_close(torch.func.vmap(layer)(xs), torch.stack([layer(x) for x in xs]))


@every
def test_gradients_of_each_sample(make):
    layer, xs = built(make), inputs(3, 1, 7, 3)
    gradient = torch.func.grad(lambda x: layer(x).square().mean())
    assert_close(torch.func.vmap(gradient)(xs), torch.stack([gradient(x) for x in xs]))


@every
def test_forward_derivatives_are_those_of_the_backward_pass(make):
    layer, x, direction = built(make), inputs(2, 7, 3), inputs(2, 7, 3).flip(1)
    outputs, derivative = torch.func.jvp(layer, (x,), (direction,))
    assert_close(outputs, layer(x))
    weights = torch.ones_like(outputs)
    (gradient,) = torch.func.vjp(layer, x)[1](weights)
    assert_close((weights * derivative).sum(), (gradient * direction).sum())


def slow(name, mask):
    return pytest.param(MAKE[name], mask, id=f"{name}-{mask}", marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("make", "mask"),
    [
        pytest.param(MAKE["lru"], "holes", id="lru-holes"),
        pytest.param(MAKE["dense_rnn"], None, id="dense_rnn-None"),
        *(slow("lru", mask) for mask in (None, "right", "left")),
        *(slow(name, "holes") for name in ("s4d", "s5", "rg_lru", "dense_rnn")),
        *(slow(name, None) for name in ("s4d", "s5", "rg_lru")),
    ],
)
def test_one_graph_of_torch_compile(make, mask):
    layer, x = built(make), inputs(3, 7, 3)
    mask = None if mask is None else torch.as_tensor(MASKS[mask])
    compiled = torch.compile(layer, fullgraph=True, backend="aot_eager")
    parameters = list(layer.parameters())
    found, expected = (
        torch.autograd.grad(run(x, mask=mask).square().mean(), parameters)
        for run in (compiled, layer)
    )
    assert_close(compiled(x, mask=mask), layer(x, mask=mask))
    for a, b in zip(found, expected, strict=True):
        assert_close(a, b)


@pytest.mark.slow
def test_a_model_under_the_default_compiler():
    model = SequenceClassifier(3, depth=1, units=4, state_size=4)
    x = inputs(2, 20, 3)
    expected = model(x)
    assert_close(torch.compile(model, fullgraph=True)(x), expected)


@every
def test_export_for_any_batch(make):
    layer, x = built(make), inputs(2, 7, 3)
    batch = torch.export.Dim("batch")
    program = torch.export.export(layer, (x,), dynamic_shapes=(({0: batch},),))
    more = inputs(5, 7, 3)
    assert_close(program.module()(more), layer(more))


@pytest.mark.parametrize("masked", [False, True])
@every
def test_export_for_any_length(make, masked):
    layer, x = built(make), inputs(2, 7, 3)
    batch, time = torch.export.Dim("batch"), torch.export.Dim("time")
    sizes = {0: batch, 1: time}

    class Module(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = layer

        def forward(self, x, mask=None):
            return self.layer(x, mask=mask)

    arguments = (x, x[..., 0] > 0) if masked else (x,)
    program = torch.export.export(
        Module(), arguments, dynamic_shapes=(sizes,) * len(arguments)
    )
    for length in (1, 2, 6, 40):
        more = inputs(3, length, 3)
        mask = (more[..., 0] > 0,) if masked else ()
        assert_close(program.module()(more, *mask), layer(more, mask=(*mask, None)[0]))


def test_export_of_a_model_for_any_length():
    model = SequenceClassifier(3, depth=2, units=4, state_size=4)
    x = inputs(2, 7, 3)
    expected = model(inputs(5, 40, 3))
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("time")}
    program = torch.export.export(model, (x,), dynamic_shapes=((sizes,),))
    assert_close(program.module()(inputs(5, 40, 3)), expected)


def test_keras_exports_a_model_for_any_batch(tmp_path):
    model = SequenceClassifier(3, depth=1, units=4, state_size=4)
    model(inputs(2, 7, 3))
    path = str(tmp_path / "model.pt2")
    batch = torch.export.Dim("batch")
    shapes = (({0: batch},),)
    model.export(path, format="torch", verbose=False, dynamic_shapes=shapes)
    x = inputs(5, 7, 3)
    assert_close(torch.export.load(path).module()(x), model(x))


def test_training_keeps_the_states_and_little_else():
    layer, x = LRU(64, state_size=64, return_sequences=True), inputs(4, 1024, 64)
    layer.build(x.shape)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor
    ):
        layer(x)
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in kept}
    floats = sum(storage.nbytes() for storage in storages.values()) / 4
    # The inputs, half of the states, in blocks of 2, and matrices made of the weights.
    assert floats < 64 * 4096 + 2 * 64 * 4096 / 2 + 100_000


@every
def test_second_forward_derivatives(make):
    layer, x = built(make), inputs(2, 7, 3)
    direction = torch.ones_like(x)

    def loss(x):
        return layer(x).square().sum()

    def slope(x):
        return torch.func.jvp(loss, (x,), (direction,))[1]

    (gradient,) = torch.autograd.grad(slope(x.requires_grad_()), x)
    twice = torch.func.jvp(slope, (x.detach(),), (direction,))[1]
    assert_close(twice, gradient.sum())


@every
def test_dual_numbers(make):
    layer, x = built(make), inputs(2, 7, 3)
    expected = torch.func.jvp(layer, (x,), (torch.ones_like(x),))[1]
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, torch.ones_like(x))
        tangent = torch.autograd.forward_ad.unpack_dual(layer(dual)).tangent
        assert_close(tangent, expected)


@every
def test_gradients_in_batches(make):
    layer, x = built(make), inputs(2, 7, 3).requires_grad_()
    outputs = layer(x)
    upstream = inputs(5, *outputs.shape)
    (found,) = torch.autograd.grad(
        outputs, x, upstream, is_grads_batched=True, retain_graph=True
    )
    each = [torch.autograd.grad(outputs, x, u, retain_graph=True)[0] for u in upstream]
    assert_close(found, torch.stack(each))


@every
def test_vmap_over_masks(make):
    layer, xs = built(make), inputs(3, 2, 7, 3)
    masks = inputs(3, 2, 7) > 0
    found = torch.func.vmap(lambda x, mask: layer(x, mask=mask))(xs, masks)
    each = [layer(x, mask=mask) for x, mask in zip(xs, masks, strict=True)]
    assert_close(found, torch.stack(each))


@every
def test_parameters_have_their_own_memory_and_no_more(make):
    for name, parameter in built(make).named_parameters():
        assert parameter.is_contiguous(), name
        storage = parameter.untyped_storage().nbytes()
        assert storage == parameter.numel() * parameter.element_size(), name


@every
def test_outputs_may_be_written_to(make):
    layer, x = built(make), inputs(2, 7, 3)
    assert_close(layer(x).mul_(2), 2 * layer(x))
    assert_close(layer(x)[:, -1].mul_(2), 2 * layer(x)[:, -1])
