"""Layers in a `keras.RematScope`."""

import contextlib
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import layers
from keras_lru.compress import reduce_states
from keras_lru.models import LanguageModel, SequenceClassifier, SequenceForecaster

from ..cases import combinations

STATES = 6
MODELS = {
    "lru": lambda: layers.LRU(5, STATES, seed=0),
    "rg_lru": lambda: layers.RGLRU(3, seed=0),
    "block": lambda: layers.LRUBlock(5, STATES, dropout=0.3, seed=0),
    "both ways": lambda: layers.LRUBlock(
        5, STATES, dropout=0.3, bidirectional=True, seed=0
    ),
    "classifier": lambda: SequenceClassifier(
        5, depth=2, units=6, state_size=STATES, dropout=0.3, pooling="last", seed=0
    ),
}


def inputs(steps=20):
    x = np.random.default_rng(0).normal(size=(6, steps, 3)).astype("float32")
    x[:2, -5:] = 0
    return x


def trained(name, scope):
    with scope:
        body = MODELS[name]()
    model = keras.Sequential([keras.layers.Masking(), body, keras.layers.Dense(3)])
    model.layers[-1].kernel_initializer.seed = 0
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.SGD(0.1), loss)
    model.fit(inputs(), np.arange(6) % 3, epochs=4, shuffle=False, verbose=0)
    return [ops.convert_to_numpy(w).astype("float64") for w in body.weights]


@pytest.mark.parametrize(
    ("name", "mode"),
    combinations(
        MODELS,
        ["full", "list_of_layers"],
        fast=[("block", "full"), ("classifier", "list_of_layers")],
    ),
)
def test_what_is_computed_again_is_the_same(name, mode):
    """Weights, moving statistics and random seeds after some steps."""
    keras.utils.set_random_seed(0)
    expected = trained(name, contextlib.nullcontext())
    keras.utils.set_random_seed(0)
    options = {"mode": mode}
    if mode == "list_of_layers":
        names = ["lru", "rglru", "lru_block", "block_0", "block_1"]
        options["layer_names"] = [f"{n}{i}" for n in names for i in ("", "_1")]
    found = trained(name, keras.RematScope(**options))
    for a, b in zip(found, expected, strict=True):
        # In another order of additions.
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def test_a_layer_in_use_is_one_with_time_arguments():
    with keras.RematScope(mode="full"):
        layer = layers.LRU(4, STATES, return_state=True, seed=0)
    plain = layers.LRU(4, STATES, return_state=True, seed=0)
    sizes = np.full((6, 20), 1.5, "float32")
    states = [np.ones((6, STATES), "float32")] * 2
    options = {"initial_state": states, "step_sizes": sizes}
    for a, b in zip(
        layer(inputs(), **options), plain(inputs(), **options), strict=True
    ):
        found, expected = map(ops.convert_to_numpy, (a, b))
        np.testing.assert_allclose(found, expected, atol=1e-5)


def test_forecasters_recompute_their_blocks():
    with keras.RematScope(mode="full"):
        model = SequenceForecaster(3, depth=1, units=4, state_size=4)
    model.compile("adam", "mse")
    history = model.fit(inputs(), np.ones((6, 3, 3)), epochs=2, verbose=0).history
    assert np.isfinite(history["loss"]).all()


def bytes_kept(blocks, x):
    """What the backend holds for the gradient of all weights."""
    model = keras.Sequential(blocks)
    model.build(x.shape)
    if keras.backend.backend() == "torch":
        import torch

        kept = {}

        def keep(tensor):
            kept[tensor.untyped_storage().data_ptr()] = (
                tensor.untyped_storage().nbytes()
            )
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            model(x, training=True)
        return sum(kept.values())
    import jax

    trainable, others = (
        [v.value for v in weights]
        for weights in (model.trainable_variables, model.non_trainable_variables)
    )
    _, pull_back = jax.vjp(
        lambda w: model.stateless_call(w, others, x, training=True)[0], trainable
    )
    return sum(leaf.nbytes for leaf in jax.tree.leaves(pull_back))


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="See the process below"
)
def test_blocks_keep_their_inputs_alone():
    x = np.ones((2, 256, 16), "float32")

    def kept(scope):
        with scope:
            blocks = [layers.LRUBlock(16, 16, return_sequences=True) for _ in range(3)]
        return bytes_kept(blocks, x)

    plain = kept(contextlib.nullcontext())
    again = kept(keras.RematScope(mode="full"))
    weights = 3 * 8_000
    assert again < 3 * x.nbytes + weights
    assert again < 0.25 * plain


PEAKS = """
import contextlib
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from keras_lru.layers import LRUBlock


def peak(scope):
    with scope:
        blocks = [LRUBlock(32, 32, return_sequences=True) for _ in range(8)]
    model = keras.Sequential(blocks)
    x = tf.constant(np.ones((4, length, 32), "float32"))
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(model(x, training=True) ** 2)
    tape.gradient(y, model.trainable_variables)
    # Not `resource`, which counts from the peak of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


plain, recomputed = contextlib.nullcontext, lambda: keras.RematScope(mode="full")
length = 2
peak(plain())
before = peak(recomputed())
length = 4096
print(peak(recomputed()) - before, peak(plain()) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow" or not Path("/proc/self/status").exists(),
    reason="Others say what they keep, and Linux what a process took",
)
def test_the_memory_of_a_process_falls():
    """By its peak, as TensorFlow does not say what it keeps."""
    command = [sys.executable, "-c", PEAKS]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    again, plain = map(int, done.stdout.split())
    # 2 MB a tensor: blocks keep tens of them, or one.
    assert again < 0.5 * plain


def test_losses_of_inner_layers_count():
    def penalties(scope):
        with scope:
            recurrence = layers.LRU(
                3, 8, return_sequences=True, activity_regularizer="l2", seed=0
            )
            block = layers.ResidualBlock(recurrence, seed=0)
        block(inputs())
        return [float(ops.convert_to_numpy(loss)) for loss in block.losses]

    found = penalties(keras.RematScope(mode="full"))
    expected = penalties(contextlib.nullcontext())
    assert len(expected) == 1
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_calls_layers_otherwise_recomputes_nothing():
    with keras.RematScope(mode="full"):
        language = LanguageModel(9, depth=1, units=5, state_size=8)
        classifier = SequenceClassifier(3, depth=2, units=4, state_size=8)
    tokens = np.random.default_rng(0).integers(1, 9, (2, 6))
    language(tokens)
    classifier(inputs())
    assert language.generate(tokens, 3).shape == (2, 3)
    reduced = reduce_states(classifier, state_size=5, calibration=inputs())
    assert {layer.state_size for layer in reduced.layers.values()} == {5}
