"""Where data and weights lie while time is split over devices."""

from keras.distribution import LayoutMap, ModelParallel, TensorLayout


class SplitTime(ModelParallel):
    """A Keras distribution: data split along batch and time, weights on every device.

    Args:
        mesh: A `keras.distribution.DeviceMesh`.
        time: Name of its axis that time is split over.
        batch: Name of the one that the batch is split over, or `None`.
    """

    def __init__(self, mesh, time, batch):
        self._sizes = dict(zip(mesh.axis_names, mesh.shape, strict=True))
        self._axes = (batch, time)
        # Of several processes each has its own part of the data.
        super().__init__(
            layout_map=LayoutMap(mesh), batch_dim_name=batch, auto_shard_dataset=False
        )

    @property
    def num_model_replicas(self):
        """Parts of the batch."""
        return self._sizes.get(self._axes[0], 1)

    def get_data_layout(self, data_shape):
        """Batch on axis 0, time on axis 1: of data that have no time, what is there.

        An axis that the devices do not divide is on all of them. Of several processes
        each has a part of the data, and knows no whole size: JAX says what is wrong.
        """
        names = [
            name if self._divides(size, name) else None
            for name, size in zip(self._axes, data_shape, strict=False)
        ]
        names += [None] * (len(data_shape) - len(names))
        return TensorLayout(names, self.device_mesh)

    def _divides(self, size, name):
        if name is None:
            return False
        return self.num_processes > 1 or size % self._sizes[name] == 0
