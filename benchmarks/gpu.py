"""An H100's compiler, without one, and what can be read from what it compiled.

It comes with JAX's own plugin for CUDA and NVIDIA's wheels, 4 GB: docs/performance.md.
"""

import re

# Before JAX is imported: no driver is there to be found, and nothing to tune on.
ENVIRONMENT = {
    "JAX_PLATFORMS": "",
    "JAX_SKIP_CUDA_CONSTRAINTS_CHECK": "1",
    "XLA_FLAGS": "--xla_gpu_autotune_level=0",
}
# The device that XLA describes in xla/backends/gpu/target_config/specs/h100_sxm.txtpb.
_H100 = """
gpu_device_info {
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: 233472
  shared_memory_per_block_optin: 232448
  threads_per_core_limit: 2048
  core_count: 132
  fpus_per_core: 128
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: 3352320000000
  l2_cache_size: 52428800
  clock_rate_ghz: 1.98
  device_memory_size: 84942979072
  cuda_compute_capability { major: 9 }
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}
platform_name: "CUDA"
dnn_version_info { major: 9 minor: 10 }
runtime_version { major: 13 }
device_description_str: "NVIDIA H100 80GB HBM3"
"""
# Instructions that launch nothing.
_FREE = {
    "bitcast",
    "constant",
    "get-tuple-element",
    "iota",
    "parameter",
    "tuple",
}
_BYTES = {
    **dict.fromkeys(("pred", "s8", "u8"), 1),
    **dict.fromkeys(("s16", "u16", "f16", "bf16"), 2),
    **dict.fromkeys(("s32", "u32", "f32"), 4),
    **dict.fromkeys(("s64", "u64", "f64", "c64"), 8),
    "c128": 16,
}


def topology():
    """One of them."""
    from unittest import mock

    from jax._src import xla_bridge
    from jax.experimental import topologies

    # JAX looks for a platform "gpu" among those that have devices.
    with mock.patch.object(xla_bridge, "canonicalize_platform", return_value="cuda"):
        return topologies.get_topology_desc(
            platform="cuda", topology="1x1x1", target_config=_H100
        )


def figures(compiled):
    """Kernels and loops that are launched once, and the bytes that they move."""
    return read_program(compiled.as_text())


def read_program(text):
    """Kernels and bytes of a compiled program, those within its loops apart.

    Args:
        text: The program as XLA writes it, of one computation that it enters by.

    Returns:
        Dictionary: `"kernels"`, `"loops"`, and `"MB moved"` by all kernels outside
        loops, each of which reads its operands and writes its result.
    """
    entry = re.search(r"^ENTRY [^{]*\{(.*?)^\}", text, re.DOTALL | re.MULTILINE)[1]
    sizes, kernels, loops, moved = {}, 0, 0, 0
    for line in entry.splitlines():
        found = re.match(r"\s+(?:ROOT )?%?([\w.-]+) = (.+?) ([\w-]+)\((.*)", line)
        if found is None:
            continue
        name, shape, operation, rest = found.groups()
        sizes[name] = _size(shape)
        if operation in _FREE or operation.endswith("-done"):
            continue
        if operation == "while":
            loops += 1
            continue
        kernels += 1
        if operation == "custom-call":
            # What a library's product returns beside its result is its workspace.
            sizes[name] = _size(shape[: shape.find("]") + 1])
        operands = re.findall(r"%([\w.-]+)", rest.split("), ")[0])
        moved += sizes[name] + sum(sizes.get(operand, 0) for operand in operands)
    return {"kernels": kernels, "loops": loops, "MB moved": moved / 1e6}


def _size(shape):
    """Bytes of `f32[8,128]{1,0}`, or of a tuple of such."""
    total = 0
    for dtype, sizes in re.findall(r"(\w+)\[([\d,]*)\]", shape):
        count = 1
        for size in filter(None, sizes.split(",")):
            count *= int(size)
        total += count * _BYTES[dtype]
    return total
