"""Hand-written gradients can be left out: of exports, and inside one another."""

import contextlib
import contextvars
from collections.abc import Iterator

_FORWARD_ONLY = contextvars.ContextVar("forward_only", default=False)


@contextlib.contextmanager
def forward_only() -> Iterator[None]:
    """Inside, functions are traced without their hand-written gradients.

    For what is exported for inference, which needs none of their operations.
    """
    token = _FORWARD_ONLY.set(True)
    try:
        yield
    finally:
        _FORWARD_ONLY.reset(token)


is_forward_only = _FORWARD_ONLY.get
