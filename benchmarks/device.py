"""What the device could do at its best."""

import keras

from keras_lru.backend import has_accelerator

# Bytes a second, and FLOPs a second of float32 by TF32 without sparsity: NVIDIA's
# data sheets of the SXM forms.
_PEAK = {
    "NVIDIA H100 80GB HBM3": (3.35e12, 4.95e14),
    "NVIDIA H200": (4.8e12, 4.95e14),
    "NVIDIA A100-SXM4-80GB": (2.04e12, 1.56e14),
}


def kind():
    """The name of the accelerator, as its maker writes it."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.devices()[0].device_kind
    if keras.backend.backend() == "torch":
        import torch

        return torch.cuda.get_device_name()
    import tensorflow as tf

    (first, *_) = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(first).get("device_name")


def least_seconds(moved, flops):
    """Seconds for so many bytes and FLOPs, `None` on a device that is not known."""
    if not has_accelerator() or kind() not in _PEAK:
        return None
    bandwidth, speed = _PEAK[kind()]
    return max(moved / bandwidth, flops / speed)
