"""The data that a trial trains on: what `search` was given, or the preset's."""

import keras
from keras_tuner.errors import FatalValueError

from keras_lru.experiments.data import load_preset_data


def make_trial_data(
    *,
    x,
    validation_data,
    batch_size,
    searches_batch_size,
    preset,
    epochs,
    initial_epoch,
    steps_per_epoch,
    options,
):
    """Arguments of `keras.Model.fit` for a trial.

    Args:
        x: Inputs, a function from the batch size to batches, or `None` for the
            preset's.
        validation_data: The same, to validate on.
        batch_size: Examples a batch.
        searches_batch_size: Whether that differs from trial to trial.
        preset: A `Preset`, or `None`.
        epochs: Number of epochs, or `None`.
        initial_epoch: Number of epochs that were trained before.
        steps_per_epoch: Batches an epoch, or `None`.
        options: Arguments of `keras_lru.datasets.load` for the preset's data.

    Returns:
        A dictionary: `x`, `epochs`, `steps_per_epoch`, and what there is to validate
        on.

    Raises:
        FatalValueError: If there is no data, or it doesn't come in batches of a size
            that is searched.
    """
    given = {
        name: _batches_of(name, data, batch_size, searches_batch_size)
        for name, data in (("x", x), ("validation_data", validation_data))
        if data is not None
    }
    if x is not None:
        return {"epochs": epochs or 1, "steps_per_epoch": steps_per_epoch, **given}
    if preset is None:
        raise FatalValueError(
            "`x` must be passed to `search`: there is no preset to load data of. "
            "Received: x=None"
        )
    loaded = load_preset_data(
        preset,
        batch_size=batch_size,
        epochs=epochs,
        initial_epoch=initial_epoch,
        steps_per_epoch=steps_per_epoch,
        validates=validation_data is None,
        options=options,
    )
    return {**loaded, **given}


def _batches_of(name, data, batch_size, searches_batch_size):
    """What a function of the batch size returns; other data as they are."""
    if callable(data):
        return data(batch_size)
    is_array = all(hasattr(part, "shape") for part in keras.tree.flatten(data))
    if searches_batch_size and not is_array:
        raise FatalValueError(
            f"`{name}` must be arrays, or a function from the batch size to "
            f"batches, as `batch_size` is searched. Received: {name}={data!r}"
        )
    return data
