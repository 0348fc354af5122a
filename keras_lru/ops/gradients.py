"""Hand-written gradients, and how to leave them out."""

import contextlib
import contextvars

from keras import ops

_FORWARD_ONLY = contextvars.ContextVar("forward_only", default=False)


@contextlib.contextmanager
def forward_only():
    """Inside, recurrences are traced without their hand-written gradients.

    For what is exported for inference, which needs none of their operations.
    """
    token = _FORWARD_ONLY.set(True)
    try:
        yield
    finally:
        _FORWARD_ONLY.reset(token)


def custom_gradient(function):
    """`keras.ops.custom_gradient`, or under `forward_only` the values alone."""
    if _FORWARD_ONLY.get():
        return lambda *args: function(*args)[0]
    return ops.custom_gradient(function)
