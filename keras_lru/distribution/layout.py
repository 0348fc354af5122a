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
        super().__init__(layout_map=LayoutMap(mesh), batch_dim_name=batch)

    @property
    def num_model_replicas(self):
        """Parts of the batch."""
        return self._sizes.get(self._axes[0], 1)

    def get_data_layout(self, data_shape):
        """Batch on axis 0, time on axis 1: of data that have no time, what is there.

        An axis that the devices do not divide is on all of them.
        """
        names = [
            name if name is not None and size % self._sizes[name] == 0 else None
            for name, size in zip(self._axes, data_shape, strict=False)
        ]
        names += [None] * (len(data_shape) - len(names))
        return TensorLayout(names, self.device_mesh)
