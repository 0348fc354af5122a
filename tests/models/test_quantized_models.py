"""Blocks and models with quantized recurrences and dense layers, and their files."""

import copy
import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops
from keras.quantizers import Int8QuantizationConfig

from keras_lru import layers, models
from keras_lru.training import OnlineLearner

from ..cases import combinations

INT8 = "int8_from_float32"
SIZES = {"units": 4, "state_size": 3, "seed": 0}
TOKENS = 7


def classifier(**options):
    return models.SequenceClassifier(3, **{"depth": 1, **SIZES, **options})


def functional():
    x = keras.Input((None, 3))
    y = layers.ResidualBlock(layers.S5(3, 4, return_sequences=True, seed=0))(x)
    y = keras.layers.Bidirectional(layers.LRU(4, seed=0))(y)
    return keras.Model(x, keras.layers.Dense(2)(y))


def wrapped():
    cells = [layers.LRUCell(4, seed=0), layers.S5Cell(4, seed=0)]
    return keras.Sequential(
        [
            keras.Input((3, 9, 3)),
            keras.layers.TimeDistributed(layers.LRU(4, return_sequences=True, seed=0)),
            keras.layers.Reshape((27, 4)),
            keras.layers.RNN(cells),
        ]
    )


MODELS = {
    "classifier": classifier,
    "both ways": lambda: classifier(bidirectional=True, depth=2),
    "half precision": lambda: classifier(dtype="mixed_bfloat16"),
    "frozen": lambda: classifier(trainable=False),
    "template": lambda: classifier(
        recurrence=layers.S5(4, 4, return_sequences=True), normalization="layer"
    ),
    "forecaster": lambda: models.SequenceForecaster(2, depth=1, **SIZES),
    "language model": lambda: models.LanguageModel(TOKENS, depth=1, **SIZES),
    "pair classifier": lambda: models.PairClassifier(2, depth=1, **SIZES),
    "blocks": lambda: keras.Sequential(
        [layers.LRUBlock(4, return_sequences=True, seed=0), layers.LRUBlock(5, seed=0)]
    ),
    "functional": functional,
    "wrapped": wrapped,
}


def inputs(name):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 9, 3)).astype("float32")
    if name == "language model":
        return rng.integers(0, TOKENS, (2, 9)).astype("int32")
    if name == "pair classifier":
        return [x, x[::-1]]
    if name == "wrapped":
        return rng.normal(size=(2, 3, 9, 3)).astype("float32")
    return x


def built(name):
    model = MODELS[name]()
    model(inputs(name))
    return model


@pytest.mark.parametrize(
    "make",
    [
        lambda: models.SequenceForecaster(2, depth=1, differencing=False, **SIZES),
        lambda: keras.Sequential([layers.LRUBlock(4, return_sequences=True)]),
    ],
    ids=["forecaster", "block"],
)
def test_what_is_built_can_be_quantized(make):
    """Also where a part is never called: Keras's `quantize` asks it too."""
    model = make()
    model.build((None, None, 3))
    model.quantize("int8")
    assert "lru_cell" in quantized_names(model)


def outputs(model, x):
    return ops.convert_to_numpy(ops.cast(model(x), "float32"))


def bytes_of(model):
    return sum(ops.convert_to_numpy(w).nbytes for w in model.weights)


def quantized_names(model):
    return {
        layer.name
        for layer in model._flatten_layers()
        if getattr(layer, "_is_quantized", False)
        and not list(layer._flatten_layers(include_self=False))
    }


CONFIGS = {
    "inputs too": None,
    "weights alone": Int8QuantizationConfig(activation_quantizer=None),
}


@pytest.mark.parametrize(
    ("name", "config"),
    combinations(
        MODELS,
        CONFIGS,
        fast=[
            ("classifier", "inputs too"),
            ("both ways", "weights alone"),
            ("functional", "weights alone"),
            ("blocks", "inputs too"),
        ],
    ),
)
def test_files(name, config, tmp_path):
    model, x = built(name), inputs(name)
    before = outputs(model, x)
    size = bytes_of(model)
    model.quantize("int8", config=CONFIGS[config])
    expected = outputs(model, x)
    # Some per cent: what rounding to 127 steps leaves of small sums.
    assert 0 < np.abs(expected - before).max() < 0.1 * np.abs(before).max()
    assert bytes_of(model) < size

    path = tmp_path / "model.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(outputs(loaded, x), expected, rtol=1e-6, atol=1e-6)
    assert quantized_names(loaded) == quantized_names(model)
    assert [w.trainable for w in loaded.weights] == [w.trainable for w in model.weights]

    path = tmp_path / "model.weights.h5"
    model.save_weights(path)
    other = built(name)
    other.quantize("int8", config=CONFIGS[config])
    other.load_weights(path)
    np.testing.assert_allclose(outputs(other, x), expected, rtol=1e-6, atol=1e-6)


def test_files_of_twice_saved_models_say_the_same(tmp_path):
    model = built("classifier")
    model.quantize("int8", filters="lru|gate", config=CONFIGS["weights alone"])
    path = tmp_path / "model.keras"
    for _ in range(2):
        model.save(path)
        model = keras.models.load_model(path)
    assert quantized_names(model) == {"lru_cell", "glu_gate"}
    # What is left is quantized in another way.
    model.quantize("int8", filters="head|encoder|value")
    expected = outputs(model, inputs("classifier"))
    model.save(path)
    loaded = keras.models.load_model(path)
    np.testing.assert_allclose(
        outputs(loaded, inputs("classifier")), expected, rtol=1e-6, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["backward_lru", "head", "encoder"])
def test_a_part_alone(name, tmp_path):
    model = built("both ways")
    model.quantize("int8", filters=lambda layer: name in layer.path)
    expected = outputs(model, inputs("both ways"))
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert quantized_names(loaded) == quantized_names(model)
    np.testing.assert_allclose(outputs(loaded, inputs("both ways")), expected, 1e-6)


POLICIES = {
    "all": (INT8, {"lru_cell", "glu_gate", "glu_value", "encoder", "head"}),
    "some": (
        keras.dtype_policies.DTypePolicyMap(
            "float32",
            {
                ".*/lru": keras.dtype_policies.get(INT8),
                "classifier/head": keras.dtype_policies.get(INT8),
            },
        ),
        {"lru_cell", "head"},
    ),
}


@pytest.mark.parametrize("which", POLICIES)
def test_policies(which, tmp_path):
    policy, names = POLICIES[which]
    model = classifier(dtype=policy, dropout=0.1, name="classifier")
    x = inputs("classifier")
    model(x)
    assert quantized_names(model) == names
    source = built("classifier")
    source.quantize("int8", filters="|".join(names))
    model.set_weights(source.get_weights())
    expected = outputs(source, x)
    np.testing.assert_allclose(outputs(model, x), expected, rtol=1e-6, atol=1e-6)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(loaded, x), expected, rtol=1e-6, atol=1e-6)


def test_the_global_policy():
    keras.config.set_dtype_policy(INT8)
    try:
        model = models.SequenceForecaster(2, depth=1, **SIZES)
        block = layers.ResidualBlock(
            layers.LRU(3, return_sequences=True), dropout=0.1, bidirectional=True
        )
        both = layers.Bidirectional(layers.S5(4))
    finally:
        keras.config.set_dtype_policy("float32")
    for layer, shape in ((model, (2, 2, 3)), (block, (2, 9, 3)), (both, (2, 8))):
        assert tuple(layer(inputs("forecaster")).shape) == shape
        assert quantized_names(layer) >= {"lru_cell"} or layer is both


@pytest.mark.parametrize(
    "copied",
    [
        copy.deepcopy,
        pytest.param(
            lambda model: type(model).from_config(model.get_config()),
            marks=pytest.mark.slow,
        ),
    ],
)
def test_copies(copied):
    model, x = built("classifier"), inputs("classifier")
    model.quantize("int8")
    other = copied(model)
    other(x)
    other.set_weights(model.get_weights())
    np.testing.assert_allclose(outputs(other, x), outputs(model, x), 1e-6, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["int4", "float8"])
def test_other_modes_leave_recurrences_as_they_are(mode, tmp_path):
    model, x = built("classifier"), inputs("classifier")
    with pytest.warns(UserWarning, match="LRUCell can be quantized to 'int8'"):
        model.quantize(mode)
    assert model.backbone.blocks[0].glu_gate.quantization_mode == mode
    assert "lru_cell" not in quantized_names(model)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(outputs(loaded, x), outputs(model, x), 1e-6, 1e-6)


def test_blocks_quantize_what_is_in_them():
    block = layers.LRUBlock(4, seed=0)
    with pytest.raises(ValueError, match="layer that isn't yet built"):
        block.quantize("int8")
    block(inputs("block"))
    with pytest.raises(NotImplementedError, match="'int8' and to nothing else"):
        block.quantize("int4")
    assert not quantized_names(block)
    block.quantize("int8")
    names = {"lru_cell", "glu_gate", "glu_value", "encoder"}
    assert quantized_names(block) == names
    with pytest.raises(ValueError, match="already quantized"):
        block.quantize("int8")
    half = layers.ResidualBlock(layers.LRU(3, return_sequences=True))
    half(inputs("block"))
    half.glu_gate.quantize("int8")
    with pytest.raises(ValueError, match="'glu_gate' is already quantized"):
        half.quantize("int8")
    assert quantized_names(half) == {"glu_gate"}
    with pytest.raises(ValueError, match="`quantization_config` must be left out"):
        layers.LRUBlock(4, quantization_config=Int8QuantizationConfig())


@pytest.mark.parametrize(
    "recomputed", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_what_is_left_is_trained(recomputed):
    with keras.RematScope("full" if recomputed else None):
        model = classifier()
    x = inputs("classifier")
    model(x)
    model.quantize("int8")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.05), loss)
    trained = {w.name for w in model.trainable_weights}
    assert trained == {"nu_log", "theta_log", "gamma_log", "D", "bias", "gamma", "beta"}
    history = model.fit(x, np.array([0, 1]), epochs=10, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_streams_of_tokens_and_learning_online():
    model = built("language model")
    model.quantize("int8")
    prompt = [1, 2, 3]
    written = model.generate(prompt, 4, temperature=0)
    for token in written:
        logits = outputs(model, np.array([prompt]))
        assert token == logits[0, -1].argmax()
        prompt = [*prompt, token]

    model = models.SequenceRegressor(1, depth=1, normalization=None, **SIZES)
    x = inputs("regressor")
    model(x)
    model.quantize("int8", config=CONFIGS["weights alone"])
    before, expected = model.get_weights(), outputs(model, x)
    learner = OnlineLearner(model, loss="mse", optimizer="adam")
    for t in range(9):
        if t == 4:
            learner.step(x[:, t], np.ones((2, 1), "float32"))
            break
        found = ops.convert_to_numpy(learner.advance(x[:, t]))
        np.testing.assert_allclose(found, expected[:, t], atol=1e-5)
    for weight, old in zip(model.weights, before, strict=True):
        changed = (ops.convert_to_numpy(weight) != old).any()
        assert changed == weight.trainable, weight.path


WRITE = """
import sys
import keras, numpy as np
from keras_lru import models
x = np.load(sys.argv[1] + "/inputs.npy")
model = models.SequenceClassifier(3, depth=1, units=4, state_size=3, seed=0)
model(x)
alone = keras.quantizers.Int8QuantizationConfig(activation_quantizer=None)
model.quantize("int8", config=alone)
np.save(sys.argv[1] + "/outputs.npy", keras.ops.convert_to_numpy(model(x)))
model.save(sys.argv[1] + "/model.keras")
"""


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["jax", "tensorflow", "torch"])
def test_files_of_other_backends(backend, tmp_path):
    pytest.importorskip(backend)
    x = inputs("classifier")
    np.save(tmp_path / "inputs.npy", x)
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WRITE, str(tmp_path)],
        env={**os.environ, "KERAS_BACKEND": backend},
        check=True,
        capture_output=True,
    )
    model = keras.models.load_model(tmp_path / "model.keras")
    assert "lru_cell" in quantized_names(model)
    expected = np.load(tmp_path / "outputs.npy")
    np.testing.assert_allclose(outputs(model, x), expected, rtol=1e-4, atol=1e-5)
