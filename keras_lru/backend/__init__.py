"""What differs from backend to backend: a module each, with the same names in all.

The one package that asks which backend runs. It asks once, when it is imported.
"""

import keras

from keras_lru.backend.forward_only import forward_only

_BACKEND = keras.backend.backend()

if _BACKEND == "jax":
    from keras_lru.backend.jax import *  # noqa: F403
    from keras_lru.backend.jax import __all__ as _names
elif _BACKEND == "tensorflow":
    from keras_lru.backend.tensorflow import *  # noqa: F403
    from keras_lru.backend.tensorflow import __all__ as _names
elif _BACKEND == "torch":
    from keras_lru.backend.torch import *  # noqa: F403
    from keras_lru.backend.torch import __all__ as _names
elif _BACKEND in ("numpy", "openvino"):
    from keras_lru.backend.inference import *  # noqa: F403
    from keras_lru.backend.inference import __all__ as _names
else:
    raise ImportError(
        "keras_lru runs on Keras's backends 'jax', 'tensorflow' and 'torch', and "
        "predicts on 'numpy' and 'openvino': set the environment variable "
        "KERAS_BACKEND to one of them. "
        f"Received: backend={_BACKEND!r}"
    )

__all__ = [*_names, "forward_only"]
