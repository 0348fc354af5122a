"""A trial sequence in pieces, whose outputs must be those of the whole."""

import numpy as np
from keras import tree

# A single step, and several. Of one length, as each is compiled anew.
_PIECES = (1, 4, 4)


def random_inputs(structure, layers):
    """A batch of two sequences, with masked steps where a model masks.

    What has one number a step is positive, as it may be the size of the step.

    Args:
        structure: Structure of `keras.InputSpec`, the inputs of the model.
        layers: The layers of the model.

    Returns:
        Arrays in that structure.
    """
    rng = np.random.default_rng(0)
    tokens = [layer.input_dim for layer in layers if hasattr(layer, "embeddings")]
    alone = len(tree.flatten(structure)) == 1
    masked = [layer.mask_value for layer in layers if hasattr(layer, "mask_value")]

    def draw(spec):
        features = (size or 3 for size in spec.shape[2:])
        shape = (spec.shape[0] or 2, sum(_PIECES), *features)
        if "int" in spec.dtype or (tokens and len(shape) == 2):
            return rng.integers(0, min(tokens, default=2), shape).astype(spec.dtype)
        if spec.dtype == "bool":
            return rng.random(shape) < 0.3
        x = rng.normal(size=shape).astype(spec.dtype)
        may_be_sizes = shape[2:] in ((), (1,))
        if may_be_sizes:
            x = np.abs(x) + np.ones((), x.dtype)
        if masked and (alone or not may_be_sizes):
            x[rng.random(shape[:2]) < 0.3] = masked[0]
        return x

    return tree.map_structure(draw, structure)


def cut(inputs):
    """The pieces of what `random_inputs` gave."""
    stops = np.cumsum(_PIECES)
    return [
        tree.map_structure(lambda x, piece=slice(start, stop): x[:, piece], inputs)
        for start, stop in zip(stops - _PIECES, stops, strict=True)
    ]


def has_time(arrays):
    """Whether the outputs for the pieces, one array each, are consecutive in time."""
    return all(
        array.ndim > 1 and array.shape[1] == steps
        for array, steps in zip(arrays, _PIECES, strict=True)
    )


def is_whole(arrays, whole, tolerance):
    """Whether the outputs for the pieces make up those for the whole sequence.

    Args:
        arrays: An array for each piece.
        whole: Array.
        tolerance: Largest difference, as a share of the largest output.
    """
    joined = np.concatenate(arrays, axis=1) if has_time(arrays) else arrays[-1]
    # A vanishing scale would ask for equality.
    scale = max(np.abs(whole).max(initial=0.0), 1e-6)
    return joined.shape == whole.shape and np.allclose(
        joined, whole, atol=tolerance * scale, rtol=0
    )
