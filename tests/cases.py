"""Combinations of parameters, of which the fast tests take some."""

import itertools

import pytest


def combinations(*values, fast):
    """All combinations of `values`; those not in `fast` are for the slow tests."""
    cases = list(itertools.product(*values))
    unknown = set(fast) - set(cases)
    if unknown:
        raise ValueError(f"`fast` must be combinations. Received: {unknown}")
    return [
        pytest.param(*case, marks=() if case in fast else pytest.mark.slow)
        for case in cases
    ]
