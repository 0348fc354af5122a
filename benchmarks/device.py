"""What the device could do at its best."""

import keras

# Bytes a second, and FLOPs a second of float32 by TF32 without sparsity: NVIDIA's
# data sheets of the SXM forms.
_PEAK = {
    "NVIDIA H100": (3.35e12, 4.95e14),
    "NVIDIA H200": (4.8e12, 4.95e14),
    "NVIDIA A100": (2.04e12, 1.56e14),
}


def least_seconds(moved, flops):
    """Seconds for so many bytes and FLOPs, `None` on a device that is not known."""
    if keras.backend.backend() != "jax":
        return None
    import jax

    kind = jax.devices()[0].device_kind
    for name, (bandwidth, speed) in _PEAK.items():
        if kind.startswith(name):
            return max(moved / bandwidth, flops / speed)
    return None
