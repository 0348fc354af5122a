"""The Linear Recurrent Unit (Orvieto et al., ICML 2023) for Keras 3."""

import lazy_loader

from keras_lru.registration import register_when_keras_is_there

__version__ = "0.2.0"

# What is public stands in `__init__.pyi`, and is imported when it is asked for.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

register_when_keras_is_there()
