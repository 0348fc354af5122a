"""A TPU v5e's compiler, without one: `pip install libtpu` brings it."""

# Before JAX is imported: no TPU is there to be found.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


def topology():
    """Four of them, of which one is used."""
    from jax.experimental import topologies

    return topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")


def figures(compiled):
    """What the compiler counts."""
    cost = compiled.cost_analysis()
    return {"MB moved": cost["bytes accessed"] / 1e6, "GFLOP": cost["flops"] / 1e9}
