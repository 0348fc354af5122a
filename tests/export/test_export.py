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

from .samples import SIZES, TOKENS, built, features, pairs, tokens


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


def _check(name, model, make_inputs, lengths, path, server):
    """TensorFlow alone serves every length of what was built on 5 steps."""
    for length in lengths:
        inputs = make_inputs(2, length)
        expected = model.predict(inputs, verbose=0)
        # Two compilations of one model: the last bits, of bfloat16 sometimes.
        tolerance = 0.05 if name == "half precision" else 1e-5
        np.testing.assert_allclose(
            server.serve(path, inputs),
            expected,
            rtol=0,
            atol=tolerance * max(1, np.abs(expected).max()),
            err_msg=f"{length} steps",
        )


def test_a_model_is_served_at_lengths_it_never_saw(tmp_path, capfd, tensorflow_alone):
    make, make_inputs = MODELS["classifier"]
    model = built(make(), make_inputs)
    model.export(tmp_path / "model")
    assert "with the endpoint `serve`" in capfd.readouterr().out
    _check("", model, make_inputs, (1, 7), tmp_path / "model", tensorflow_alone)
    assert tensorflow_alone.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_model_is_served_at_every_length(name, tmp_path, tensorflow_alone):
    make, make_inputs = MODELS[name]
    model = built(make(), make_inputs)
    path = tmp_path / "model"
    export_saved_model(model, path, streaming=False, verbose=False)
    _check(name, model, make_inputs, (1, 4096), path, tensorflow_alone)
    assert tensorflow_alone.complaints() == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "make_inputs", "shape", "dtype"),
    [
        (masked_stack, features, (None, 3), None),
        (embedded_stack, tokens, (None,), "int32"),
    ],
)
def test_keras_exports_stacks_with_our_layers_itself(
    make, make_inputs, shape, dtype, tmp_path, backend, tensorflow_alone
):
    model = keras.Sequential([keras.Input(shape, dtype=dtype), *make().layers])
    model.export(tmp_path / "model", verbose=False)
    _check("", model, make_inputs, (1, 4096), tmp_path / "model", tensorflow_alone)
    # From JAX, Keras saves gradients that TensorFlow then complains of, of a Dense
    # layer's too.
    assert tensorflow_alone.complaints() == [] or backend == "jax"


def test_gradients_flow_again_after_an_export(tmp_path):
    model = built(SequenceRegressor(1, **SIZES), features)
    model.export(tmp_path / "model", verbose=False)
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.train_on_batch(features(2, 5), np.ones((2, 5, 1), "float32"))
    names = [v.name for v in model.weights]
    moved = [
        not np.array_equal(a, b)
        for a, b in zip(before, model.get_weights(), strict=True)
    ]
    assert all(m for m, name in zip(moved, names, strict=True) if name != "seed")
    assert moved[names.index("nu_log")]


def test_an_explicit_signature_is_obeyed(tmp_path):
    import tensorflow as tf

    model = built(SequenceRegressor(1, **SIZES), features)
    signature = [keras.InputSpec(shape=(3, 4, 3), dtype="float32")]
    model.export(tmp_path / "model", verbose=False, input_signature=signature)
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert served.serve.input_signature[0].shape == (3, 4, 3)


def test_an_explicit_signature_of_unknown_sizes(tmp_path):
    import tensorflow as tf

    model = built(PairClassifier(2, **SIZES, **TOKENS), pairs)
    # Unknown sizes that were told apart could not be joined to one batch.
    signature = [[keras.InputSpec(shape=(None, None), dtype="int32")] * 2]
    model.export(tmp_path / "model", verbose=False, input_signature=signature)
    served = tf.saved_model.load(str(tmp_path / "model"))
    assert served.serve(pairs(3, 7)).shape == (3, 2)
