"""The batches of a preset, as arguments of `fit`."""

from keras_lru.experiments.presets import Preset

_EPOCHS = 10


def load_preset_data(
    preset: Preset,
    *,
    batch_size: int,
    epochs: int | None,
    initial_epoch: int,
    steps_per_epoch: int | None,
    validates: bool,
    options: dict,
) -> dict:
    """The batches of a preset's task; an epoch is a tenth of the preset's steps.

    Args:
        preset: A `Preset`.
        batch_size: Examples a batch.
        epochs: Number of epochs, or `None` for as many as make up the preset's steps.
        initial_epoch: Number of epochs that were trained before.
        steps_per_epoch: Batches an epoch, in place of a tenth of the preset's steps.
        validates: Whether to load the validation split too.
        options: Arguments of `keras_lru.datasets.load`, in place of the preset's or
            beside them.

    Returns:
        Arguments of `keras.Model.fit`.
    """
    # Imports TensorFlow and TFDS, which other data don't need.
    from keras_lru.datasets import load

    if steps_per_epoch is None:
        steps_per_epoch = -(-preset.steps // _EPOCHS)
    options = {**preset.data_options, **options}
    data = {
        "x": load(
            preset.task,
            "train",
            batch_size,
            repeat=True,
            start_step=initial_epoch * steps_per_epoch,
            **options,
        ),
        # Shuffled already, and Keras warns that it can't.
        "shuffle": False,
        "epochs": epochs or -(-preset.steps // steps_per_epoch),
        "steps_per_epoch": steps_per_epoch,
    }
    if validates:
        data["validation_data"] = load(preset.task, "validation", batch_size, **options)
    return data
