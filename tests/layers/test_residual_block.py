import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.initializers.seeds import derive_seed
from keras_lru.layers.lru import LRU
from keras_lru.layers.residual_block import ResidualBlock
from keras_lru.layers.serialization import reseed
from keras_lru.models.backbone import LRUBackbone

from ..cases import combinations

BATCH, TIME, FEATURES = 3, 7, 4


@keras.saving.register_keras_serializable(package="keras_lru_tests")
class Echo(keras.layers.Layer):
    """Returns its input: what is left of the block is everything else."""

    def __init__(self, go_backwards=False, **kwargs):
        super().__init__(**kwargs)
        self.go_backwards = go_backwards
        self.return_sequences = True
        self.return_state = False
        self.stateful = False
        self.input_spec = None
        self.supports_masking = True

    def call(self, inputs, initial_state=None):
        return ops.flip(inputs, axis=1) if self.go_backwards else inputs

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "go_backwards": self.go_backwards}


def recurrence(kind, **kwargs):
    if kind == "lru":
        return LRU(FEATURES, state_size=3, return_sequences=True, **kwargs)
    # Orthogonal matrices, Keras's default, are slow to compile.
    options = {"recurrent_initializer": "glorot_uniform", **kwargs}
    return keras.layers.LSTM(FEATURES, return_sequences=True, **options)


def inputs(seed=0, time=TIME):
    shape = (BATCH, time, FEATURES)
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def right_padding():
    return np.arange(TIME) < np.array([[TIME], [4], [2]])


def numpy_of(x):
    return ops.convert_to_numpy(ops.convert_to_tensor(x)).astype("float64")


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gelu(x):
    return numpy_of(keras.activations.gelu(x))


def randomize(layer, seed=0):
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.uniform(0.1, 1.0, w.shape) for w in layer.get_weights()])


def gated(block, x):
    """The block's gate by hand, from its weights."""
    gate_kernel, gate_bias = map(numpy_of, block.glu_gate.weights)
    value = x
    if block.glu == "full":
        kernel, bias = map(numpy_of, block.glu_value.weights)
        value = x @ kernel + bias
    return value * sigmoid(x @ gate_kernel + gate_bias)


def layer_normalized(block, x):
    gamma, beta = map(numpy_of, block.norm.weights)
    mean, var = x.mean(-1, keepdims=True), x.var(-1, keepdims=True)
    return (x - mean) / np.sqrt(var + block.norm.epsilon) * gamma + beta


# What the block computes


@pytest.mark.parametrize("glu", ["full", "half"])
@pytest.mark.parametrize("prenorm", [True, False])
def test_block_matches_the_formula_by_hand(glu, prenorm):
    block = ResidualBlock(Echo(), normalization="layer", glu=glu, prenorm=prenorm)
    x = inputs()
    block(x)
    randomize(block)
    if prenorm:
        expected = x + gated(block, gelu(layer_normalized(block, x)))
    else:
        expected = layer_normalized(block, x + gated(block, gelu(x)))
    np.testing.assert_allclose(numpy_of(block(x)), expected, rtol=1e-4, atol=1e-5)


def test_half_gate_has_one_linear_map_less():
    full, half = (ResidualBlock(Echo(), glu=glu) for glu in ("full", "half"))
    full(inputs())
    half(inputs())
    assert full.count_params() - half.count_params() == FEATURES * (FEATURES + 1)


def test_activation_is_an_argument():
    block = ResidualBlock(Echo(), normalization=None, glu="half", activation="relu")
    x = inputs()
    block(x)
    expected = x + gated(block, np.maximum(x, 0))
    np.testing.assert_allclose(numpy_of(block(x)), expected, rtol=1e-4, atol=1e-5)


def test_rms_normalization_scales_to_unit_mean_square():
    block = ResidualBlock(Echo(), normalization="rms", prenorm=False)
    y = numpy_of(block(inputs()))
    np.testing.assert_allclose((y**2).mean(-1), 1, rtol=1e-3)


def test_bidirectional_sums_both_directions():
    block = ResidualBlock(Echo(), normalization=None, glu="half", bidirectional=True)
    x = inputs()
    block(x)
    expected = x + gated(block, gelu(2 * x))
    np.testing.assert_allclose(numpy_of(block(x)), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["lru", "lstm"])
def test_only_a_bidirectional_block_sees_the_future(kind):
    x = inputs()
    later = x.copy()
    later[:, -1] += 1
    for bidirectional in (False, True):
        block = ResidualBlock(recurrence(kind), bidirectional=bidirectional)
        same = np.allclose(numpy_of(block(x))[:, 0], numpy_of(block(later))[:, 0])
        assert same is not bidirectional


def test_directions_of_a_seeded_recurrence_start_with_different_weights():
    block = ResidualBlock(recurrence("lru", seed=3), bidirectional=True)
    block.build((None, None, FEATURES))
    forward, backward = block.recurrence.forward_layer, block.recurrence.backward_layer
    for a, b in zip(forward.weights, backward.weights, strict=True):
        assert not np.allclose(numpy_of(a), numpy_of(b)), a.path


# Dropout


def test_dropout_is_off_at_inference():
    x = inputs()
    block = ResidualBlock(Echo(), dropout=0.5, seed=0)
    dropped = numpy_of(block(x, training=True))
    assert not np.allclose(numpy_of(block(x)), dropped)
    np.testing.assert_array_equal(numpy_of(block(x)), numpy_of(block(x)))


@pytest.mark.parametrize("spatial_dropout", [True, False])
def test_spatial_dropout_drops_whole_features(spatial_dropout):
    block = ResidualBlock(
        Echo(),
        normalization=None,
        dropout=0.5,
        spatial_dropout=spatial_dropout,
        seed=0,
    )
    x = np.ones_like(inputs())
    kept = numpy_of(block(x, training=True)) != x
    constant_in_time = (kept == kept[:, :1]).all()
    assert constant_in_time == spatial_dropout
    assert 0 < kept.mean() < 1


def test_same_seed_same_weights_and_dropout():
    x = inputs()
    first, second, other = (
        ResidualBlock(Echo(), dropout=0.5, seed=seed) for seed in (1, 1, 2)
    )
    y = [numpy_of(block(x, training=True)) for block in (first, second, other)]
    np.testing.assert_array_equal(y[0], y[1])
    assert not np.allclose(y[0], y[2])


def test_the_two_maps_of_the_gate_start_differently():
    block = ResidualBlock(Echo(), seed=1)
    block.build((None, None, FEATURES))
    gate, value = block.glu_gate.kernel, block.glu_value.kernel
    assert not np.allclose(numpy_of(gate), numpy_of(value))


# Masks


@pytest.mark.parametrize("prenorm", [True, False])
def test_batch_statistics_ignore_masked_steps(prenorm):
    mask = right_padding()
    x = inputs()
    garbage = np.where(mask[..., None], x, 1e3).astype("float32")
    statistics = []
    for values in (x, garbage):
        block = ResidualBlock(Echo(), prenorm=prenorm, norm_momentum=0.5, seed=0)
        block(values, training=True, mask=mask)
        statistics.append(
            [
                numpy_of(block.norm.moving_mean),
                numpy_of(block.norm.moving_variance),
            ]
        )
    np.testing.assert_allclose(*statistics, rtol=1e-5)
    if prenorm:
        mean = x[mask].mean(0)
        np.testing.assert_allclose(statistics[0][0], 0.5 * mean, rtol=1e-4)


@pytest.mark.parametrize(
    ("kind", "bidirectional", "normalization"),
    [
        ("lru", False, "batch"),
        ("lru", True, "batch"),
        ("lstm", False, "batch"),
        ("lstm", True, "layer"),
        ("lstm", False, "rms"),
        ("lstm", False, None),
    ],
)
def test_padded_equals_unpadded(kind, bidirectional, normalization):
    mask = right_padding()
    x = inputs()
    block = ResidualBlock(
        recurrence(kind), normalization=normalization, bidirectional=bidirectional
    )
    padded = numpy_of(block(x, mask=mask))
    alone = numpy_of(block(x[1:2, :4]))
    np.testing.assert_allclose(padded[1, :4], alone[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("normalization", ["batch", "layer", "rms", None])
def test_mask_attached_to_the_input_is_used_and_handed_on(normalization):
    mask = right_padding()
    x = np.where(mask[..., None], inputs(), 0).astype("float32")
    block = ResidualBlock(recurrence("lstm"), normalization=normalization)
    sequence = keras.Input((None, FEATURES))
    masked = block(keras.layers.Masking()(sequence))
    counted = keras.layers.GlobalAveragePooling1D()(masked)
    y = keras.Model(sequence, [masked, counted])(x)
    np.testing.assert_allclose(
        numpy_of(y[0]), numpy_of(block(x, mask=mask)), rtol=1e-5, atol=1e-6
    )
    expected = [
        row[keep].mean(0) for row, keep in zip(numpy_of(y[0]), mask, strict=True)
    ]
    np.testing.assert_allclose(numpy_of(y[1]), expected, rtol=1e-4, atol=1e-5)


# Shapes and dtypes


@pytest.mark.parametrize("kind", ["lru", "lstm"])
@pytest.mark.parametrize("shape", [(None, None, 4), (2, 7, 4)])
def test_output_shape_equals_input_shape(kind, shape):
    block = ResidualBlock(recurrence(kind))
    assert block.compute_output_shape(shape) == shape
    assert not block.built
    assert block(keras.Input(batch_shape=shape)).shape == shape


@pytest.mark.parametrize("time", [1, pytest.param(2, marks=pytest.mark.slow), 33])
def test_any_length(time):
    block = ResidualBlock(recurrence("lru"), bidirectional=True)
    assert block(inputs(time=time)).shape == (BATCH, time, FEATURES)


@pytest.mark.parametrize(
    ("kind", "bidirectional", "policy"),
    combinations(
        ["lru", "lstm", "float32 lstm"],
        [False, True],
        ["mixed_bfloat16", "mixed_float16", "float64"],
        fast=[
            ("lru", False, "mixed_bfloat16"),
            ("lru", True, "float64"),
            ("lstm", True, "mixed_bfloat16"),
            ("lstm", False, "mixed_float16"),
            ("float32 lstm", False, "mixed_bfloat16"),
        ],
    ),
)
def test_dtype_policies(backend, kind, bidirectional, policy):
    if backend == "jax" and policy == "float64":
        pytest.skip("JAX has float64 only with jax_enable_x64")
    own = "float32" if "float32" in kind else policy
    block = ResidualBlock(
        recurrence(kind, dtype=own), bidirectional=bidirectional, dtype=policy
    )
    y = block(inputs(), training=True, mask=right_padding())
    assert keras.backend.standardize_dtype(y.dtype) == block.compute_dtype
    assert block.glu_gate.kernel.dtype == block.variable_dtype
    assert np.isfinite(numpy_of(ops.cast(y, "float32"))).all()


# Configuration


ARGUMENTS = [
    {},
    {
        "normalization": "layer",
        "dropout": 0.25,
        "glu": "half",
        "prenorm": False,
        "bidirectional": True,
        "activation": "relu",
        "spatial_dropout": False,
        "norm_momentum": 0.9,
        "seed": 5,
        "dtype": "mixed_bfloat16",
        "name": "my_block",
    },
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=["defaults", "all"])
@pytest.mark.parametrize("kind", ["lru", "lstm"])
def test_config_round_trip(kind, arguments):
    block = ResidualBlock(recurrence(kind), **arguments)
    config = block.get_config()
    copy = ResidualBlock.from_config(config)
    assert copy.get_config() == config
    x = inputs()
    block(x)
    copy(x)
    copy.set_weights(block.get_weights())
    a, b = (numpy_of(ops.cast(layer(x), "float32")) for layer in (block, copy))
    np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("kind", ["lru", "lstm"])
def test_saved_model_reloads(tmp_path, kind, bidirectional):
    model = keras.Sequential(
        [
            keras.Input((None, FEATURES)),
            ResidualBlock(recurrence(kind), dropout=0.1, bidirectional=bidirectional),
        ]
    )
    randomize(model)
    x = inputs()
    expected = numpy_of(model(x))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    # Keras leaves out the name of a Sequential model that it reloads.
    for old, new in zip(model.weights, loaded.weights, strict=True):
        assert old.path.removeprefix("sequential/") == new.path
    np.testing.assert_allclose(numpy_of(loaded(x)), expected, rtol=1e-6, atol=1e-6)

    clone = keras.models.clone_model(model)
    model.save_weights(tmp_path / "model.weights.h5")
    clone.load_weights(tmp_path / "model.weights.h5")
    np.testing.assert_allclose(numpy_of(clone(x)), expected, rtol=1e-6, atol=1e-6)


def test_recurrence_may_be_a_config():
    config = keras.saving.serialize_keras_object(recurrence("lstm"))
    assert isinstance(ResidualBlock(config).recurrence, keras.layers.LSTM)


def test_a_built_recurrence_keeps_its_weights():
    lstm = recurrence("lstm")
    lstm.build((None, None, FEATURES))
    kernel = numpy_of(lstm.cell.kernel)
    block = ResidualBlock(lstm)
    block(inputs())
    np.testing.assert_array_equal(numpy_of(block.recurrence.cell.kernel), kernel)


def test_a_layer_is_taken_as_it_is():
    lstm = recurrence("lstm")
    assert ResidualBlock(lstm).recurrence is lstm


# Training


@pytest.mark.parametrize(
    "jit_compile", ["auto", pytest.param(True, marks=pytest.mark.slow)]
)
def test_a_fit_step_changes_every_trainable_weight(jit_compile):
    block = ResidualBlock(recurrence("lru"), dropout=0.1)
    model = keras.Sequential(
        [keras.Input((None, FEATURES)), keras.layers.Masking(), block]
    )
    model.compile(
        keras.optimizers.SGD(1.0), loss="mean_squared_error", jit_compile=jit_compile
    )
    before = [numpy_of(w) for w in model.trainable_variables]
    model.fit(inputs(), inputs(seed=1), verbose=0)
    for variable, old in zip(model.trainable_variables, before, strict=True):
        assert not np.allclose(numpy_of(variable), old, rtol=0, atol=1e-9), (
            variable.path
        )


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"normalization": "group"}, "`normalization` must be one of .*'group'"),
        ({"glu": "none"}, "`glu` must be one of .*'none'"),
        ({"dropout": 1.0}, r"`dropout` must be a number in \[0, 1\).*dropout=1.0"),
        ({"dropout": -0.1}, "`dropout` must be .*dropout=-0.1"),
        ({"dropout": "a lot"}, "`dropout` must be .*'a lot'"),
        ({"norm_momentum": 2}, "`norm_momentum` must be .*norm_momentum=2"),
        ({"activation": "foo"}, "`activation` must be .*activation='foo'"),
        ({"seed": "a"}, "`seed` must be an integer or None.*seed='a'"),
        ({"seed": True}, "`seed` must be an integer or None.*seed=True"),
    ],
)
def test_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualBlock(Echo(), **arguments)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (lambda: "lstm", "`recurrence` must be a Keras layer.*'lstm'"),
        (lambda: keras.layers.LSTM(4), "return_sequences=True.*Received.*False"),
        (
            lambda: recurrence("lstm", return_state=True),
            "return_state=False.*Received.*return_state=True",
        ),
        (
            lambda: recurrence("lstm", go_backwards=True),
            "go_backwards=False.*Received.*go_backwards=True",
        ),
    ],
)
def test_bad_recurrence(layer, message):
    with pytest.raises(ValueError, match=message):
        ResidualBlock(layer())


def test_bidirectional_needs_a_layer_that_can_run_backwards():
    with pytest.raises(ValueError, match="must have an argument `go_backwards`"):
        ResidualBlock(keras.layers.Dense(4), bidirectional=True)


def test_recurrence_must_keep_the_features():
    wide = keras.layers.LSTM(5, recurrent_initializer="zeros", return_sequences=True)
    block = ResidualBlock(wide)
    with pytest.raises(ValueError, match=r"`recurrence` must return as many .*, 5\)"):
        block.build((None, None, FEATURES))


def test_complex_inputs():
    x = np.ones((2, 5, 4)) + 1j
    block = ResidualBlock(LRU(4, return_sequences=True))
    for layer in (block, LRUBackbone(depth=1, units=4, state_size=4)):
        with pytest.raises(ValueError, match=r"`inputs` must be real.*complex"):
            layer(x)


@pytest.mark.parametrize("shape", [(None, None, None), (None, FEATURES)])
def test_inputs_must_be_sequences_of_known_features(shape):
    with pytest.raises(ValueError, match="`inputs` must have shape"):
        ResidualBlock(recurrence("lstm")).build(shape)


# Seeds


def test_derived_seeds_are_stable_and_distinct():
    assert derive_seed(None, "a") is None
    assert derive_seed(1, "a", 0) == derive_seed(1, "a", 0)
    seeds = {derive_seed(s, *p) for s in (0, 1, -1) for p in [("a",), ("a", 0), ("b",)]}
    assert len(seeds) == 9
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_reseed_reaches_nested_seeds():
    config = {"seed": 1, "inner": [{"seed": None, "x": 2}], "name": "n"}
    kept = reseed(config, None, 0)
    assert kept["inner"] == config["inner"]
    assert kept["seed"] not in (1, reseed(config, None, 1)["seed"])
    drawn = reseed(config, 7, 0)
    assert isinstance(drawn["inner"][0]["seed"], int)
    assert drawn["name"] == "n"


def test_directions_share_nothing():
    """While it reads a file, Keras tells shared objects by their addresses."""
    from keras.src.saving.serialization_lib import ObjectSharingScope

    with ObjectSharingScope():
        layer = LRU(4, return_sequences=True)
        # As if a layer that is gone had been where this one is.
        keras.saving.serialize_keras_object(layer)
        both = ResidualBlock(layer, bidirectional=True).recurrence
    assert both.forward_layer is not both.backward_layer
    assert both.backward_layer.go_backwards
    assert not both.forward_layer.go_backwards
