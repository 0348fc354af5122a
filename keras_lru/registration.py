"""Registration of classes with Keras, so that files load without `custom_objects`.

The package is lazy: what is asked for is imported then. But Keras loads from a file
only what is registered, so as soon as both are imported, in whichever order, so are
the packages whose classes stand in files.
"""

import contextlib
import importlib
import sys

import wrapt

_ROOT = __package__
_WITH_CLASSES = ("layers", "models", "training")
_WITH_KERAS = ("backend", "ops", "initializers", "export", *_WITH_CLASSES)


def register_when_keras_is_there():
    """Import the packages whose classes stand in files, once Keras is imported."""
    needing_keras = {f"{_ROOT}.{name}" for name in _WITH_KERAS}
    complete = set()

    def register(module):
        complete.add(module.__name__)
        # One of them that is half imported would be imported by the others.
        if needing_keras & sys.modules.keys() <= complete:
            for name in _WITH_CLASSES:
                importlib.import_module(f"{_ROOT}.{name}")

    def register_late(module):
        # Importing Keras must not fail for a backend that only we refuse: we do so when
        # we are asked for something.
        with contextlib.suppress(ImportError):
            register(module)

    hook = register if "keras" in sys.modules else register_late
    wrapt.register_post_import_hook(hook, "keras")
    for name in sorted(needing_keras):
        wrapt.register_post_import_hook(register, name)
