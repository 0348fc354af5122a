"""The layer's tests, once with every way to compute the recurrence."""

import pytest

from .lru_reference import ALGORITHM


@pytest.fixture(
    scope="module",
    params=[
        ("auto", "auto"),
        *(
            pytest.param(choice, marks=pytest.mark.slow)
            for choice in (("sequential", 3), ("chunked", 2), ("associative", 1))
        ),
    ],
    ids=lambda choice: "-".join(map(str, choice)),
)
def algorithm(request):
    """Layers of `make` use this `scan` and `block_size`."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in zip(("scan", "block_size"), request.param, strict=True):
            patch.setitem(ALGORITHM, name, value)
        yield
