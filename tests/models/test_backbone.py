import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.layers.lru import LRU
from keras_lru.models import LRUBackbone, SequenceClassifier

SMALL = {"depth": 2, "units": 4, "state_size": 3}
# As in test_heads.py: each shape is compiled once.
BATCH, TIME = 4, 6
MASK = np.arange(TIME) < np.array([[6], [4], [1], [3]])


def features(time=TIME, seed=0):
    return np.random.default_rng(seed).normal(size=(BATCH, time, 2)).astype("float32")


def tokens(time=TIME, seed=0):
    return np.random.default_rng(seed).integers(1, 9, (BATCH, time), dtype="int32")


def numpy_of(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


def template(**kwargs):
    return keras.layers.LSTM(4, return_sequences=True, **kwargs)


# Shapes and masks


@pytest.mark.parametrize("shape", [(None, None, 2), (BATCH, TIME, 2)])
def test_shapes_from_features(shape):
    backbone = LRUBackbone(**SMALL)
    assert backbone.compute_output_shape(shape) == (*shape[:2], 4)
    assert backbone(keras.Input(batch_shape=shape)).shape == (*shape[:2], 4)


@pytest.mark.parametrize("shape", [(None, None), (BATCH, TIME)])
def test_shapes_from_tokens(shape):
    backbone = LRUBackbone(**SMALL, vocabulary_size=9)
    sequence = keras.Input(batch_shape=shape, dtype="int32")
    assert backbone(sequence).shape == (*shape, 4)


@pytest.mark.parametrize("time", [1, 4])
def test_any_length(time):
    assert LRUBackbone(**SMALL)(features(time)).shape == (BATCH, time, 4)


@pytest.mark.parametrize("bidirectional", [False, True])
def test_padded_tokens_equal_unpadded(bidirectional):
    x = tokens() * MASK
    backbone = LRUBackbone(
        **SMALL, vocabulary_size=9, mask_zero=True, bidirectional=bidirectional
    )
    padded = numpy_of(backbone(x))
    alone = numpy_of(backbone(x[:, :4]))
    np.testing.assert_allclose(padded[1, :4], alone[1], rtol=1e-4, atol=1e-5)


def test_mask_comes_from_the_input_from_the_tokens_or_from_both():
    x = tokens() * MASK
    other = np.arange(TIME) > 0
    given = np.broadcast_to(other, x.shape)
    plain = LRUBackbone(**SMALL, vocabulary_size=9)
    assert plain.compute_mask(x) is None
    np.testing.assert_array_equal(plain.compute_mask(x, given), given)
    masking = LRUBackbone(**SMALL, vocabulary_size=9, mask_zero=True)
    np.testing.assert_array_equal(masking.compute_mask(x), MASK)
    np.testing.assert_array_equal(masking.compute_mask(x, given), MASK & given)


def test_mask_goes_through_a_functional_model():
    x = np.where(MASK[..., None], features(), 0).astype("float32")
    backbone = LRUBackbone(**SMALL)
    sequence = keras.Input((None, 2))
    y = backbone(keras.layers.Masking()(sequence))
    model = keras.Model(sequence, keras.layers.GlobalAveragePooling1D()(y))
    steps = numpy_of(backbone(x, mask=MASK))
    expected = [row[keep].mean(0) for row, keep in zip(steps, MASK, strict=True)]
    np.testing.assert_allclose(
        model.predict(x, verbose=0), expected, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize(
    "policy",
    ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)],
)
def test_tokens_stay_whole_in_half_precision(policy):
    backbone = LRUBackbone(**SMALL, vocabulary_size=5000, dtype=policy)
    ids = np.array([[4097, 2049]])
    as_ints = numpy_of(backbone(ids))
    np.testing.assert_array_equal(as_ints, numpy_of(backbone(ids.astype("float32"))))
    assert not np.allclose(as_ints, numpy_of(backbone(ids - 1)))
    assert keras.backend.standardize_dtype(backbone(ids).dtype) == policy[6:]
    assert all(b.compute_dtype == policy[6:] for b in backbone.blocks)


# Weights and seeds


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize(
    "recurrence",
    [
        None,
        lambda: LRU(4, state_size=3, return_sequences=True, seed=1),
        lambda: template(
            kernel_initializer=keras.initializers.GlorotUniform(seed=1),
            recurrent_initializer=keras.initializers.Orthogonal(seed=1),
        ),
    ],
    ids=["default", "lru", "lstm"],
)
def test_no_two_recurrences_start_alike(recurrence, seed, bidirectional):
    backbone = LRUBackbone(
        **SMALL,
        recurrence=recurrence and recurrence(),
        seed=seed,
        bidirectional=bidirectional,
    )
    backbone.build((None, None, 2))
    layers = [block.recurrence for block in backbone.blocks]
    if bidirectional:
        layers = [x for b in layers for x in (b.forward_layer, b.backward_layer)]
    weights = [numpy_of(layer.weights[0]) for layer in layers]
    for i, weight in enumerate(weights):
        assert not any(np.allclose(weight, other) for other in weights[:i])


@pytest.mark.parametrize("recurrence", [None, template], ids=["lru", "lstm"])
def test_same_seed_same_model(recurrence):
    def outputs(seed):
        backbone = LRUBackbone(
            **SMALL, recurrence=recurrence and recurrence(), seed=seed, dropout=0.5
        )
        return numpy_of(backbone(features(), training=True))

    np.testing.assert_array_equal(outputs(1), outputs(1))
    assert not np.allclose(outputs(1), outputs(2))


def test_ring_arguments_reach_the_recurrence():
    backbone = LRUBackbone(**SMALL, r_min=0.9, r_max=0.99, max_phase=0.1)
    backbone.build((None, None, 2))
    for block in backbone.blocks:
        eigenvalues = block.recurrence.eigenvalues
        moduli, phases = np.abs(eigenvalues), np.angle(eigenvalues)
        assert eigenvalues.shape == (3,)
        assert ((moduli >= 0.9) & (moduli <= 0.99)).all()
        assert ((phases >= 0) & (phases <= 0.1)).all()


def test_template_stays_unbuilt_and_unused():
    layer = template()
    backbone = LRUBackbone(**SMALL, recurrence=layer)
    backbone(features())
    assert not layer.built
    assert all(isinstance(b.recurrence, keras.layers.LSTM) for b in backbone.blocks)


# Configuration


ARGUMENTS = [
    {},
    {"recurrence": template, "seed": 3},
    {
        "r_min": 0.5,
        "r_max": 0.9,
        "max_phase": 0.3,
        "dropout": 0.1,
        "normalization": "layer",
        "glu": "half",
        "prenorm": False,
        "bidirectional": True,
        "activation": "relu",
        "spatial_dropout": False,
        "norm_momentum": 0.9,
        "seed": 1,
        "dtype": "mixed_bfloat16",
        "name": "b",
    },
]


@pytest.mark.parametrize("arguments", ARGUMENTS, ids=["defaults", "template", "all"])
def test_config_round_trip(arguments):
    arguments = {k: v() if callable(v) else v for k, v in arguments.items()}
    backbone = LRUBackbone(**SMALL, **arguments)
    config = backbone.get_config()
    copy = LRUBackbone.from_config(config)
    assert copy.get_config() == config
    backbone(features())
    copy(features())
    copy.set_weights(backbone.get_weights())
    np.testing.assert_array_equal(
        numpy_of(copy(features())), numpy_of(backbone(features()))
    )


@pytest.mark.parametrize("name", ["b.keras", "b.weights.h5"])
def test_file_round_trip(tmp_path, name):
    make = {**SMALL, "vocabulary_size": 9, "mask_zero": True}
    backbone = LRUBackbone(**make)
    x = tokens() * MASK
    expected = numpy_of(backbone(x))
    if name.endswith(".keras"):
        backbone.save(tmp_path / name)
        loaded = keras.saving.load_model(tmp_path / name)
    else:
        backbone.save_weights(tmp_path / name)
        loaded = LRUBackbone(**make)
        loaded.build((None, None))
        loaded.load_weights(tmp_path / name)
    np.testing.assert_allclose(numpy_of(loaded(x)), expected, rtol=1e-6, atol=1e-6)


# Refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"depth": 0}, "`depth` must be a positive integer.*depth=0"),
        ({"units": 2.5}, "`units` must be a positive integer.*units=2.5"),
        ({"vocabulary_size": -1}, "`vocabulary_size` must be .*vocabulary_size=-1"),
        ({"mask_zero": True}, "`mask_zero` needs `vocabulary_size`"),
        ({"glu": "none"}, "`glu` must be one of"),
        ({"activation": "foo"}, "`activation` must be .*activation='foo'"),
        ({"seed": "a"}, "`seed` must be an integer or None.*seed='a'"),
        ({"recurrence": "lstm"}, "`recurrence` must be a Keras layer.*'lstm'"),
    ],
)
def test_bad_argument(arguments, message):
    with pytest.raises(ValueError, match=message):
        LRUBackbone(**arguments)


def test_template_of_another_size():
    backbone = LRUBackbone(
        **SMALL, recurrence=keras.layers.LSTM(5, return_sequences=True)
    )
    with pytest.raises(ValueError, match="`recurrence` must return as many features"):
        backbone.build((None, None, 2))


def test_inputs_of_another_rank():
    with pytest.raises(ValueError, match=r"`inputs` must have shape \(batch, time, fe"):
        LRUBackbone(**SMALL).build((None, None))
    with pytest.raises(ValueError, match=r"vocabulary_size=9.*\(None, None, 2\)"):
        LRUBackbone(**SMALL, vocabulary_size=9).build((None, None, 2))


def test_frozen_it_is_frozen_again_when_made_from_its_config():
    model = SequenceClassifier(3, **SMALL)
    model.build((None, None, 2))
    model.backbone.trainable = False
    copy = SequenceClassifier.from_config(model.get_config())
    copy.build((None, None, 2))
    assert [w.path for w in copy.trainable_variables] == [
        w.path for w in copy.head.trainable_variables
    ]
    assert not copy.backbone.blocks[0].norm.trainable
