"""Names that have moved: found where they were, with a warning, until 0.3."""

import importlib
import warnings


def moved_names(module, places):
    """A module's `__getattr__` for names that have moved elsewhere (PEP 562).

    Args:
        module: The module's `__name__`.
        places: `{name: module}`: where each name is now.

    Returns:
        A function for `__getattr__` of the module.

    Example:

    >>> import warnings
    >>> from keras_lru.deprecation import moved_names
    >>> __getattr__ = moved_names("geometry", {"tau": "math"})
    >>> with warnings.catch_warnings(record=True) as caught:
    ...     warnings.simplefilter("always")
    ...     tau = __getattr__("tau")
    >>> print(caught[0].message)
    `geometry.tau` has moved: use `math.tau`. The old name goes in 0.3.
    """

    def find(name):
        if name not in places:
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        place = places[name]
        warnings.warn(
            f"`{module}.{name}` has moved: use `{place}.{name}`. "
            "The old name goes in 0.3.",
            DeprecationWarning,
            stacklevel=2,
        )
        return getattr(importlib.import_module(place), name)

    return find
