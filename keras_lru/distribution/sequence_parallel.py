"""One sequence on several devices: time is split, and states are handed over."""

import contextlib
from collections.abc import Iterator
from typing import Any

from keras.distribution import DeviceMesh

from keras_lru.backend import sequence_parallel_scope
from keras_lru.checks import describe
from keras_lru.distribution.layout import SplitTime


@contextlib.contextmanager
def sequence_parallel(
    mesh: Any, time: str = "time", batch: str | None = None
) -> Iterator[int]:
    """Scope in which each device has a stretch of time of every sequence.

    Models that are made, trained and evaluated inside compute what they compute on one
    device, up to rounding, on sequences that are as much longer as there are devices.
    Each device solves the recurrence on its own stretch; what the devices exchange are
    the states that stretches end in, a few numbers a sequence and layer. All else is
    split by XLA: products, normalization (over all steps of the batch), pooling. On
    JAX.

    Linear recurrences are split: `LRU`, `S5`, `S4D`, `RGLRU`, alone and in
    `keras_lru.layers.ResidualBlock` and the models. What is not linear (`DenseRNN`,
    `keras.layers.LSTM`) computes as ever, and XLA hands it all of time.

    Models must be made or loaded inside. Weights are on every device. Batches must be
    divisible by the devices of the axis `batch`. Time need not be; but where it is not,
    only the recurrences split it, and data lie on every device whole.

    Args:
        mesh: The devices: a `keras.distribution.DeviceMesh` or a `jax.sharding.Mesh`.
        time: Name of the axis of `mesh` that time is split over.
        batch: Name of the axis that the batch is split over; `None` if it is not.

    Returns:
        A context manager, which gives the number of stretches.

    Raises:
        NotImplementedError: When entered, on other backends.
        ValueError: When entered, if `mesh` is no mesh, or the names are not two of its
            axes.
        RuntimeError: When entered, within another such scope.

    Example:

    >>> import keras, numpy as np
    >>> from keras_lru import LRU
    >>> from keras_lru.distribution import sequence_parallel
    >>> if keras.backend.backend() == "jax":
    ...     devices = keras.distribution.list_devices()
    ...     mesh = keras.distribution.DeviceMesh((len(devices),), ["time"], devices)
    ...     with sequence_parallel(mesh):
    ...         outputs = LRU(4, return_sequences=True)(np.ones((1, 16, 3), "float32"))
    ...     assert outputs.shape == (1, 16, 4)
    """
    with contextlib.ExitStack() as scopes:
        mesh = _checked(mesh, time, batch)
        scopes.enter_context(sequence_parallel_scope(mesh, time, batch))
        scopes.enter_context(SplitTime(mesh, time, batch).scope())
        yield mesh.shape[mesh.axis_names.index(time)]


def _checked(mesh, time, batch):
    """The mesh as Keras's, which has the axes."""
    if not isinstance(mesh, DeviceMesh):
        devices = getattr(mesh, "devices", None)
        names = getattr(mesh, "axis_names", None)
        if devices is None or names is None:
            raise ValueError(
                "`mesh` must be a keras.distribution.DeviceMesh or a "
                f"jax.sharding.Mesh. Received: {describe(mesh)}"
            )
        mesh = DeviceMesh(
            devices.shape, list(names), [f"{d.platform}:{d.id}" for d in devices.flat]
        )
    names = list(mesh.axis_names)
    for argument, name in (("time", time), ("batch", batch)):
        if name not in names and not (argument == "batch" and name is None):
            raise ValueError(
                f"`{argument}` must be the name of an axis of `mesh`, one of {names}. "
                f"Received: {argument}={name!r}"
            )
    if time == batch:
        raise ValueError(
            "`batch` must be another axis of `mesh` than `time`, or None. "
            f"Received: time={time!r}, batch={batch!r}"
        )
    return mesh
