"""Weights of the recurrences, split over devices."""

from keras.distribution import DeviceMesh, LayoutMap

from keras_lru.checks import describe

# Of `LRUCell` and `S5Cell`, under whatever layer they are.
_CELL = r"(.*/)?(lru|s5)_cell(_\d+)?/"
_OF_STATES = "nu_log|theta_log|nu|theta|lambda_re|lambda_im|gamma_log|log_delta"


def layout_map(device_mesh: DeviceMesh, model: str = "model") -> LayoutMap:
    """Where `keras.distribution.ModelParallel` puts the weights of `LRU` and `S5`.

    The N states are split over the devices of one axis of the mesh: Λ, γ, the columns
    of B and the rows of C. All other weights lie on every device, until the map is told
    otherwise: it is a dictionary, of patterns of the paths of variables.

    Args:
        device_mesh: The devices.
        model: Name of the axis of `device_mesh` that states are split over. N must be
            divisible by its size.

    Returns:
        A `keras.distribution.LayoutMap`.

    Raises:
        ValueError: If `device_mesh` is none, or has no such axis.

    Example:

    >>> import keras
    >>> from keras_lru.distribution import layout_map
    >>> devices = [f"cpu:{i}" for i in range(8)]
    >>> mesh = keras.distribution.DeviceMesh((2, 4), ["batch", "model"], devices)
    >>> layouts = layout_map(mesh)
    >>> layouts["lru/lru_cell/B_re"].axes
    (None, 'model')
    >>> layouts["glu_gate/kernel"] = (None, "model")
    >>> distribution = keras.distribution.ModelParallel(layout_map=layouts)
    """
    if not isinstance(device_mesh, DeviceMesh):
        raise ValueError(
            "`device_mesh` must be a keras.distribution.DeviceMesh. "
            f"Received: {describe(device_mesh)}"
        )
    if model not in device_mesh.axis_names:
        raise ValueError(
            "`model` must be the name of an axis of `device_mesh`, one of "
            f"{list(device_mesh.axis_names)}. Received: model={model!r}"
        )
    layouts = LayoutMap(device_mesh)
    layouts[f"{_CELL}({_OF_STATES})"] = (model,)
    layouts[f"{_CELL}B_(re|im)"] = (None, model)
    layouts[f"{_CELL}C_(re|im)"] = (model, None)
    return layouts
