import keras
import numpy as np
import pytest
from keras import ops

from keras_lru.layers.pooling import SequencePooling

MODES = ["mean", "last", "max"]
X = np.array(
    [[[1.0], [5.0], [3.0]], [[-4.0], [-1.0], [-7.0]], [[2.0], [2.0], [2.0]]], "float32"
)
HOLES = np.array([[True, True, False], [True, False, True], [False, False, False]])


def pooled(mode, x, mask=None, **kwargs):
    y = SequencePooling(mode, **kwargs)(x, mask=mask)
    return ops.convert_to_numpy(ops.cast(y, "float32"))


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("mean", [3, -4, 2]), ("last", [3, -7, 2]), ("max", [5, -1, 2])],
)
def test_without_mask(mode, expected):
    np.testing.assert_allclose(pooled(mode, X)[:, 0], expected)


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("mean", [3, -5.5, 0]), ("last", [5, -7, 0]), ("max", [5, -4, 0])],
)
def test_masked_steps_do_not_count_and_a_masked_row_gives_zeros(mode, expected):
    np.testing.assert_allclose(pooled(mode, X, HOLES)[:, 0], expected)


@pytest.mark.parametrize("mode", MODES)
def test_nan_in_a_masked_step_stays_there(mode):
    x = np.where(HOLES[..., None], X, np.nan)
    np.testing.assert_array_equal(pooled(mode, x, HOLES), pooled(mode, X, HOLES))


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("masked", [False, True])
def test_long_sequences_in_half_precision(mode, masked):
    x = np.full((1, 70_000, 1), 1.0, "float16")
    mask = np.ones((1, 70_000), bool) if masked else None
    np.testing.assert_allclose(pooled(mode, x, mask, dtype="float16"), 1, rtol=1e-3)


@pytest.mark.parametrize("mode", MODES)
def test_unknown_time_and_no_mask_on_the_output(mode):
    sequence = keras.Input((None, 1))
    y = SequencePooling(mode)(keras.layers.Masking(5.0)(sequence))
    assert y.shape == (None, 1)
    assert getattr(y, "_keras_mask", None) is None
    model = keras.Model(sequence, y)
    expected = pooled(mode, X, (X != 5.0)[..., 0])
    np.testing.assert_allclose(model.predict(X, verbose=0), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("masked", [False, True])
def test_no_step_gives_zeros(mode, masked):
    mask = np.ones((2, 0), bool) if masked else None
    y = pooled(mode, np.ones((2, 0, 3), "float32"), mask)
    np.testing.assert_array_equal(y, np.zeros((2, 3)))


def test_config_round_trip():
    config = SequencePooling("last", name="p").get_config()
    assert SequencePooling.from_config(config).get_config() == config


def test_bad_mode():
    with pytest.raises(ValueError, match=r"`mode` must be one of .*'first'"):
        SequencePooling("first")
