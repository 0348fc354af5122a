"""Training on all devices at once."""

from keras_lru.backend import data_parallel_scope


def data_parallel(auto_shard_dataset: bool = True):
    """Scope in which models train on all devices, each on its part of every batch.

    Models that are made and compiled inside train on all GPUs or TPUs, and where there
    are none on all CPU devices: by `keras.distribution.DataParallel` on JAX, by
    `tf.distribute.MirroredStrategy` on TensorFlow. The loss curve is that of one device
    up to rounding, batch normalization included: `keras_lru.layers.ResidualBlock`
    takes its statistics from the whole batch. (On TensorFlow dropout is another one, as
    each device draws its own.)

    Batches must be divisible by the number of devices, so drop incomplete ones
    (`keras_lru.datasets.load(..., drop_remainder=True)`). On TensorFlow a model must
    not be compiled with `jit_compile=True`.

    Inside `keras_lru.training.join_processes` these are the devices of all processes,
    and the batches are shared between them.

    Args:
        auto_shard_dataset: Whether Keras, in several processes, cuts each its rows out
            of the batches of a `tf.data.Dataset`, the only kind of data that it takes
            there. `False`: what is passed to `fit` and `evaluate` in each process are
            its rows alone, as `keras_lru.datasets.load(..., num_shards=…)` reads them.

    Returns:
        A context manager, which gives the number of devices.

    Raises:
        NotImplementedError: When entered, on PyTorch with several GPUs: Keras trains on
            one there.

    Example:
        >>> import keras, numpy as np
        >>> from keras_lru import SequenceClassifier
        >>> from keras_lru.training import data_parallel
        >>> x, y = np.zeros((8, 5, 3), "float32"), np.zeros(8, "int32")
        >>> with data_parallel() as devices:
        ...     model = SequenceClassifier(2, depth=1, units=4, state_size=4)
        ...     model.compile("sgd", "sparse_categorical_crossentropy")
        ...     history = model.fit(x, y, batch_size=8, verbose=0)
        >>> devices >= 1
        True
    """
    return data_parallel_scope(auto_shard_dataset)
