"""Where Pathfinder's images were until 0.2: now `keras_lru.datasets.generating`."""

import warnings

from keras_lru.deprecation import moved_names

_PLACE = "keras_lru.datasets.generating.pathfinder"
_NAMES = ("PathfinderSpec", "draw_example", "draw_examples", "pathfinder_spec")

__getattr__ = moved_names(__name__, dict.fromkeys(_NAMES, _PLACE))

if __name__ == "__main__":
    from keras_lru.datasets.generating.pathfinder.__main__ import main

    warnings.warn(
        f"This command has moved: use `python -m {_PLACE}`. The old one goes in 0.3.",
        DeprecationWarning,
        stacklevel=1,
    )
    main()
