import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.training import RECURRENT_VARIABLES, AdamW, warmup_cosine


@keras.saving.register_keras_serializable(package="keras_lru_tests")
class Decay(keras.layers.Layer):
    """A toy recurrence: one recurrent vector, one kernel, no time."""

    def build(self, input_shape):
        width = input_shape[-1]
        self.nu_log = self.add_weight(shape=(width,), initializer="ones", name="nu_log")
        self.nu_log.is_recurrent = True
        self.kernel = self.add_weight(
            shape=(width, width), initializer="glorot_uniform", name="kernel"
        )

    def call(self, inputs):
        return ops.tanh(ops.matmul(inputs * ops.exp(-self.nu_log), self.kernel))


def build_model():
    keras.utils.set_random_seed(1)
    return keras.Sequential(
        [keras.Input((4,)), Decay(name="one"), Decay(name="two"), keras.layers.Dense(1)]
    )


def batches(count):
    rng = np.random.default_rng(0)
    for _ in range(count):
        x = rng.normal(size=(8, 4)).astype("float32")
        yield x, x.sum(axis=1, keepdims=True)


def train(model, steps=3):
    for x, y in batches(steps):
        model.train_on_batch(x, y)
    return model


def trained(optimizer, **compile_options):
    model = build_model()
    model.compile(optimizer, loss="mse", **compile_options)
    return train(model)


def recurrent_weights(model):
    return [v.numpy() for v in model.trainable_variables if v.name == "nu_log"]


def assert_same(actual, expected):
    # On PyTorch Keras's own updates all variables at once, with products in another
    # order.
    close = {"rtol": 1e-6 if keras.backend.backend() == "torch" else 0}
    assert len(actual) == len(expected)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, e, **close)


def pair(start=0.0):
    nu_log = keras.Variable([start, start], name="nu_log")
    nu_log.is_recurrent = True
    kernel = keras.Variable([start, start], name="kernel")
    return nu_log, kernel


def step(optimizer, variables, gradient, times=1):
    for _ in range(times):
        optimizer.apply([ops.convert_to_tensor(gradient) for _ in variables], variables)
    return [v.numpy() for v in variables]


def walk(optimizer):
    """Values of a recurrent and another variable after six uneven gradients."""
    rng = np.random.default_rng(0)
    variables = pair(1.0)
    for _ in range(6):
        gradients = rng.normal(size=(2, 2)).astype("float32")
        optimizer.apply([ops.convert_to_tensor(g) for g in gradients], variables)
    return [v.numpy() for v in variables]


OPTIONS = {
    "plain": {},
    "amsgrad": {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.9},
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.05},
    "ema": {"use_ema": True, "ema_momentum": 0.5, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 2},
    "loss_scale": {"loss_scale_factor": 4.0},
}


every_option = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


@every_option
def test_is_keras_adamw_where_nothing_is_recurrent(options):
    ours = walk(AdamW(0.01, 0.1, recurrent_variables=(), **options))
    assert_same(ours, walk(keras.optimizers.AdamW(0.01, 0.1, **options)))


@every_option
def test_factor_one_is_keras_adamw_with_names_excluded_from_decay(options):
    reference = keras.optimizers.AdamW(0.01, 0.1, **options)
    reference.exclude_from_weight_decay(var_names=["nu_log"])
    assert_same(walk(AdamW(0.01, 0.1, **options)), walk(reference))


@every_option
def test_factor_zero_freezes_recurrent_weights_only(options):
    nu_log, kernel = walk(AdamW(0.01, 0.1, recurrent_lr_factor=0, **options))
    np.testing.assert_array_equal(nu_log, [1.0, 1.0])
    assert np.all(kernel != 1.0)


def test_trains_a_model_as_keras_adamw_does():
    ours = trained(AdamW(0.01, 0.1, recurrent_variables=()))
    theirs = trained(keras.optimizers.AdamW(0.01, 0.1))
    assert_same(ours.get_weights(), theirs.get_weights())


def test_finds_the_recurrent_weights_of_every_layer():
    model = trained(AdamW(0.01, recurrent_lr_factor=0))
    assert_same(recurrent_weights(model), recurrent_weights(build_model()))
    kernels = zip(model.get_weights(), build_model().get_weights(), strict=True)
    assert sum(not np.array_equal(a, b) for a, b in kernels) == 4


@pytest.mark.parametrize("schedule", [False, True], ids=["constant", "schedule"])
def test_factor_scales_the_step_of_recurrent_weights(schedule):
    # From zero and by a power of two, so that the scaling is exact.
    def rate():
        return warmup_cosine(0.01, 10) if schedule else 0.01

    gradient = [0.3, -2.0]
    variables = pair()
    ours = step(AdamW(rate(), 0.0, recurrent_lr_factor=0.25), variables, gradient)
    theirs = step(keras.optimizers.AdamW(rate(), 0.0), pair(), gradient)
    np.testing.assert_array_equal(ours[0], 0.25 * theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])


def test_factor_is_the_learning_rate_of_recurrent_weights():
    ours = step(AdamW(0.01, recurrent_lr_factor=0.3), pair(), [0.3, -2.0], times=5)
    theirs = step(keras.optimizers.Adam(0.003), pair(), [0.3, -2.0], times=5)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-6)


def test_factor_follows_a_rate_that_is_set_later():
    optimizer = AdamW(0.01, 0.0, recurrent_lr_factor=0.5)
    optimizer.learning_rate = 0.1
    nu_log, kernel = step(optimizer, pair(), [1.0, 1.0])
    np.testing.assert_allclose(nu_log, -0.05, rtol=1e-5)
    np.testing.assert_allclose(kernel, -0.1, rtol=1e-5)


def test_weight_decay_shrinks_all_but_recurrent_weights():
    # Zero gradients: each step multiplies the kernel by 1 - 0.1 * 0.5.
    nu_log, kernel = step(AdamW(0.1, 0.5), pair(2.0), [0.0, 0.0], times=2)
    np.testing.assert_array_equal(nu_log, [2.0, 2.0])
    np.testing.assert_allclose(kernel, 2 * 0.95**2, rtol=1e-6)


def test_weight_decay_is_the_papers_by_default():
    _, kernel = step(AdamW(0.1), pair(1.0), [0.0, 0.0])
    np.testing.assert_allclose(kernel, 1 - 0.1 * 0.05, rtol=1e-6)


@pytest.mark.parametrize("by", ["var_list", "var_names"])
def test_respects_the_users_own_exclusions(by):
    nu_log, kernel = pair(2.0)
    bias = keras.Variable([2.0, 2.0], name="bias")
    optimizer = AdamW(0.1, 0.5)
    optimizer.exclude_from_weight_decay(
        **{by: [bias] if by == "var_list" else ["bias"]}
    )
    nu_log, kernel, bias = step(optimizer, [nu_log, kernel, bias], [0.0, 0.0])
    np.testing.assert_array_equal(nu_log, [2.0, 2.0])
    np.testing.assert_array_equal(bias, [2.0, 2.0])
    np.testing.assert_allclose(kernel, 1.9, rtol=1e-6)


def test_matches_whole_names_only():
    variables = [
        keras.Variable([1.0, 1.0], name=name) for name in ("nu_log_scale", "nu", "a")
    ]
    optimizer = AdamW(0.1, 0.5, recurrent_variables=RECURRENT_VARIABLES)
    values = step(optimizer, variables, [0.0, 0.0])
    np.testing.assert_allclose([v[0] for v in values], [0.95, 1, 0.95], rtol=1e-6)


def test_takes_the_users_names_in_place_of_marks():
    nu_log, kernel = step(
        AdamW(0.1, 0.5, recurrent_variables=(n for n in ["kernel"])),
        pair(1.0),
        [0.0, 0.0],
    )
    np.testing.assert_allclose(nu_log, 0.95, rtol=1e-6)
    np.testing.assert_array_equal(kernel, [1.0, 1.0])


def test_accumulation_takes_one_scaled_step_of_the_mean_gradient():
    optimizer = AdamW(
        0.1, 0.5, recurrent_lr_factor=0.5, gradient_accumulation_steps=2, epsilon=1.0
    )
    variables = pair(1.0)
    nu_log, kernel = step(optimizer, variables, [1.0, 1.0])
    np.testing.assert_array_equal([nu_log, kernel], np.ones((2, 2)))
    nu_log, kernel = step(optimizer, variables, [3.0, 3.0])
    # Mean gradient 2: m = 0.2, v = 0.004, step = rate · 0.2·√0.001/0.1 / (√0.004 + 1).
    move = 0.1 * 0.2 * math.sqrt(0.001) / 0.1 / (math.sqrt(0.004) + 1)
    np.testing.assert_allclose(nu_log, 1 - 0.5 * move, rtol=1e-5)
    np.testing.assert_allclose(kernel, 0.95 - move, rtol=1e-5)


def test_mixed_precision_with_loss_scaling():
    keras.config.set_dtype_policy("mixed_float16")
    model = trained(AdamW(0.01, recurrent_lr_factor=0.0))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    assert_same(recurrent_weights(model), recurrent_weights(build_model()))


def test_eager_and_compiled_training_agree():
    eager = trained(AdamW(0.01, recurrent_lr_factor=0.25), run_eagerly=True)
    compiled = trained(AdamW(0.01, recurrent_lr_factor=0.25))
    for a, b in zip(eager.get_weights(), compiled.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("option", ["plain", "amsgrad", "ema", "accumulation"])
def test_training_goes_on_exactly_after_reload(option, tmp_path):
    rate = warmup_cosine(0.01, 10, 0.3)
    # Three batches: the file holds half of an accumulated gradient.
    model = trained(AdamW(rate, 0.1, recurrent_lr_factor=0.3, **OPTIONS[option]))
    model.save(tmp_path / "model.keras")
    reloaded = keras.models.load_model(tmp_path / "model.keras")
    saved = model.get_weights()

    assert type(reloaded.optimizer) is AdamW
    assert_same(train(reloaded).get_weights(), train(model).get_weights())
    assert not np.array_equal(model.get_weights()[0], saved[0])
    assert_same(
        [v.numpy() for v in reloaded.optimizer.variables],
        [v.numpy() for v in model.optimizer.variables],
    )


def test_mixed_precision_reloads(tmp_path):
    keras.config.set_dtype_policy("mixed_float16")
    model = trained(AdamW(0.01, recurrent_lr_factor=0.5))
    model.save(tmp_path / "model.keras")
    inner = keras.models.load_model(tmp_path / "model.keras").optimizer.inner_optimizer
    assert type(inner) is AdamW
    assert inner.recurrent_lr_factor == 0.5


def test_config_round_trip():
    optimizer = AdamW(
        warmup_cosine(0.01, 20),
        0.2,
        recurrent_lr_factor=0.5,
        recurrent_variables=["nu", "A"],
        beta_1=0.8,
        global_clipnorm=1.0,
    )
    config = optimizer.get_config()
    assert config["recurrent_lr_factor"] == 0.5
    assert config["recurrent_variables"] == ["nu", "A"]
    assert AdamW.from_config(optimizer.get_config()).get_config() == config
    copy = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert type(copy) is AdamW
    assert copy.get_config() == config


@pytest.mark.parametrize("factor", [-0.1, math.nan, math.inf, "0.5", None, True])
def test_refuses_a_factor(factor):
    with pytest.raises(ValueError, match=r"`recurrent_lr_factor` must be .* Received"):
        AdamW(recurrent_lr_factor=factor)


@pytest.mark.parametrize("names", ["nu_log", 3, [1], ["lru/nu_log"], [""]])
def test_refuses_names(names):
    with pytest.raises(ValueError, match=r"`recurrent_variables` must be .* Received"):
        AdamW(recurrent_variables=names)


def test_refuses_what_keras_refuses():
    with pytest.raises(ValueError, match="not recognized"):
        AdamW(momentum=0.9)
    with pytest.raises(ValueError, match="`weight_decay` must be a float"):
        AdamW(weight_decay=None)
