"""Recurrences by name, to put in place of the LRU in the same model."""

import keras


def make_recurrence(name: str, units: int):
    """A template for the `recurrence` of `LRUBackbone`.

    Args:
        name: A name in `RECURRENCES`.
        units: Number of features between the blocks.

    Returns:
        A layer that is not built; `None` for `"lru"`, which `LRUBackbone` makes itself.

    Example:
        >>> from keras_lru.models.recurrences import make_recurrence
        >>> make_recurrence("lstm", units=8).units
        8
    """
    return RECURRENCES[name](units)


RECURRENCES = {
    "lru": lambda units: None,
    "lstm": lambda units: keras.layers.LSTM(units, return_sequences=True),
    "gru": lambda units: keras.layers.GRU(units, return_sequences=True),
}
"""Makers of recurrences, by name."""
