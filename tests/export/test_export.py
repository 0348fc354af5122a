"""`model.export` and `export_saved_model`: whole sequences, served without us."""

import keras
import numpy as np
import pytest

from keras_lru import (
    LRU,
    LRUBackbone,
    PairClassifier,
    SequenceClassifier,
    SequenceRegressor,
)
from keras_lru.export import export_saved_model

from .serving import serve_elsewhere

SIZES = {"depth": 1, "units": 6, "state_size": 5}
TOKENS = {"vocabulary_size": 7, "mask_zero": True}


def features(batch, length, seed=0):
    x = np.random.default_rng(seed).normal(size=(batch, length, 3))
    x[:, 1::4] = 0.0
    return x.astype("float32")


def tokens(batch, length, seed=0):
    generator = np.random.default_rng(seed)
    return generator.integers(0, 7, (batch, length)).astype("int32")


def pairs(batch, length):
    return [tokens(batch, length, 1), tokens(batch, length, 2)]


def masked_stack():
    return keras.Sequential(
        [
            keras.layers.Masking(),
            LRU(4, return_sequences=True),
            keras.layers.Bidirectional(LRU(3)),
        ]
    )


def embedded_stack():
    return keras.Sequential(
        [keras.layers.Embedding(7, 4, mask_zero=True), LRU(4), keras.layers.Dense(2)]
    )


MODELS = {
    "classifier": (lambda: SequenceClassifier(4, **SIZES, **TOKENS), tokens),
    "regressor": (lambda: SequenceRegressor(2, **SIZES), features),
    "pairs": (lambda: PairClassifier(2, **SIZES, **TOKENS), pairs),
    "masked stack": (masked_stack, features),
    "backbone": (lambda: LRUBackbone(normalization="rms", **SIZES), features),
    "both directions": (
        lambda: SequenceClassifier(3, bidirectional=True, glu="half", **SIZES),
        features,
    ),
    "max": (lambda: SequenceClassifier(3, pooling="max", **SIZES, **TOKENS), tokens),
    "half precision": (
        lambda: SequenceRegressor(2, dtype="mixed_bfloat16", **SIZES),
        features,
    ),
    "embedded stack": (embedded_stack, tokens),
}
LENGTHS = (1, 7, 4096)


def _check(models, lengths, tmp_path, export):
    """Exports models built on 5 steps; TensorFlow alone serves every length."""
    requests, expected = [], []
    for name, (make, inputs) in models.items():
        model = make()
        model(inputs(2, 5))
        path = tmp_path / name
        export(model, path)
        calls = [inputs(1 + n % 3, n) for n in lengths]
        requests.append((path, calls, None))
        expected.append([model.predict(x, verbose=0) for x in calls])
    results, complaints = serve_elsewhere(requests, tmp_path)
    for name, outputs, right in zip(models, results, expected, strict=True):
        for length, actual, y in zip(lengths, outputs, right, strict=True):
            # Two compilations of one model: the last bits, of bfloat16 sometimes.
            tolerance = 0.05 if name == "half precision" else 1e-5
            np.testing.assert_allclose(
                actual,
                y,
                rtol=0,
                atol=tolerance * max(1, np.abs(y).max()),
                err_msg=f"{name}, {length} steps",
            )
    return complaints


def test_a_model_is_served_at_lengths_it_never_saw(tmp_path, capfd):
    complaints = _check(
        {"classifier": MODELS["classifier"]},
        (1, 7, 100),
        tmp_path,
        lambda model, path: model.export(path),
    )
    assert complaints == []
    assert "with the endpoint `serve`" in capfd.readouterr().out


@pytest.mark.slow
def test_every_model_is_served_at_every_length(tmp_path):
    complaints = _check(
        MODELS,
        LENGTHS,
        tmp_path,
        lambda model, path: export_saved_model(
            model, path, streaming=False, verbose=False
        ),
    )
    assert complaints == []


@pytest.mark.slow
def test_keras_exports_stacks_with_our_layers_itself(tmp_path, backend):
    def with_input(make, shape, dtype):
        def make_with_input():
            return keras.Sequential([keras.Input(shape, dtype=dtype), *make().layers])

        return make_with_input

    models = {
        "masked stack": (with_input(masked_stack, (None, 3), None), features),
        "embedded stack": (with_input(embedded_stack, (None,), "int32"), tokens),
    }
    complaints = _check(
        models,
        LENGTHS,
        tmp_path,
        lambda model, path: model.export(path, verbose=False),
    )
    # From JAX, Keras saves gradients that TensorFlow then complains of, of a Dense
    # layer's too.
    assert complaints == [] or backend == "jax"


def test_gradients_flow_again_after_an_export(tmp_path):
    model = SequenceRegressor(1, **SIZES)
    x = features(2, 5)
    model(x)
    model.export(tmp_path / "model", verbose=False)
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(x, np.ones((2, 5, 1), "float32"))
    names = [v.name for v in model.weights]
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert all(m for m, name in zip(moved, names, strict=True) if name != "seed")
    assert moved[names.index("nu_log")]


def test_an_explicit_signature_is_obeyed(tmp_path):
    import tensorflow as tf

    model = SequenceRegressor(1, **SIZES)
    model(features(2, 5))
    signature = [keras.InputSpec(shape=(3, 4, 3), dtype="float32")]
    model.export(tmp_path / "model", verbose=False, input_signature=signature)
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert served.serve.input_signature[0].shape == (3, 4, 3)


def test_an_explicit_signature_of_unknown_sizes(tmp_path):
    import tensorflow as tf

    model = PairClassifier(2, **SIZES, **TOKENS)
    x = pairs(2, 5)
    model(x)
    # Unknown sizes that were told apart could not be joined to one batch.
    signature = [[keras.InputSpec(shape=(None, None), dtype="int32")] * 2]
    model.export(tmp_path / "model", verbose=False, input_signature=signature)
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert served.serve(pairs(3, 7)).shape == (3, 2)
