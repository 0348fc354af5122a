"""The scan of unknown lengths, by itself, against the loop in float64."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import ops

from keras_lru.ops.complex import Complex, Polar, pack, to_polar, unpack
from keras_lru.ops.time_invariant import Coefficient, states_before

BATCH, FEATURES = 2, 3


def parts(x):
    return Complex(
        *(ops.convert_to_tensor(p.astype("float32")) for p in (x.real, x.imag))
    )


def joined(x):
    real, imag = (ops.convert_to_numpy(p).astype("float64") for p in unpack(x))
    return real + 1j * imag


def loop(a, b, state, keep, reverse):
    """State before each step, and after the last."""
    before = np.zeros_like(b)
    for t in range(b.shape[1])[:: -1 if reverse else 1]:
        before[:, t] = state
        state = a * np.where(keep[:, t], state, 0) + b[:, t]
    return before, state


@pytest.mark.parametrize("cuts", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@given(length=st.integers(1, 70), stride=st.sampled_from([1, 16, 64]))
@settings(deadline=None, max_examples=3)
def test_matches_the_loop(cuts, reverse, length, stride):
    rng = np.random.default_rng(length)
    log_modulus = (np.log(rng.uniform(0.5, 1.0, FEATURES)) / stride).astype("float32")
    angle = rng.uniform(-np.pi, np.pi, FEATURES).astype("float32")
    a = np.exp(stride * (log_modulus.astype("float64") + 1j * angle))
    shape = (BATCH, length, FEATURES)
    b = rng.normal(size=shape) + 1j * rng.normal(size=shape)
    state = rng.normal(size=shape[::2]) + 0j
    keep = rng.random((BATCH, length, 1)) < (0.8 if cuts else 2.0)
    polar = Polar(*map(ops.convert_to_tensor, (log_modulus, angle)))
    coefficient = Coefficient(polar.power(stride), polar, stride)
    before, last = states_before(
        coefficient,
        pack(parts(b)),
        pack(parts(state)),
        "doubling",
        reverse,
        ops.convert_to_tensor(keep) if cuts else None,
    )
    expected = loop(a, b, state, keep, reverse)
    for found, value in zip((before, last), expected, strict=True):
        # As many sums as there are steps, of up to as many numbers of size 1.
        bound = 1e-6 * (1 + length)
        np.testing.assert_allclose(joined(found), value, rtol=0, atol=bound)


def test_what_a_reset_cuts_may_be_nan():
    a = to_polar(parts(np.array([0.5 + 0j])))
    coefficient = Coefficient(a.power(1), a)
    b = np.zeros((1, 4, 1)) + 1j * np.zeros((1, 4, 1))
    b[:, 0] = np.nan
    keep = np.array([[[True], [True], [False], [True]]])
    before, last = states_before(
        coefficient,
        pack(parts(b)),
        pack(parts(b[:, 1])),
        "doubling",
        keep=ops.convert_to_tensor(keep),
    )
    found = joined(before)[0, :, 0]
    np.testing.assert_array_equal(np.isnan(found), [False, True, True, False])
    assert not np.isnan(joined(last)).any()
