"""What a TPU would move and compute: compiled ahead of time for v5e, without one.

`pip install libtpu` brings the compiler. Bytes, FLOPs and temporary memory are the
compiler's own, exact and repeatable; it says nothing of seconds.
"""

# Before JAX is imported: no TPU is there to be found.
ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "TPU_ACCELERATOR_TYPE": "v5litepod-4",
}


def _layer():
    from benchmarks import peers

    shape = (8, 2048, 128)
    candidates = {
        "projections": peers.projections,
        "keras.ops.associative_scan": peers.keras_associative_scan,
    }
    for scan in ("associative", "chunked", "sequential"):
        for block_size in (1, 4, 8, 16):
            name = f'scan="{scan}", block_size={block_size}'
            candidates[name] = peers.library(scan, block_size)
    weights = peers.make_weights(128, 256, 128)
    for name, function in candidates.items():
        yield f"layer (8, 2048, 128, 256): {name}", function, weights, shape


def _model():
    from keras_lru.layers import LRU
    from keras_lru.models import SequenceClassifier

    shape = (8, 2048, 3)
    for scan, block_size in (("associative", 1), ("associative", 8)):
        layer = LRU(128, 256, return_sequences=True, scan=scan, block_size=block_size)
        model = SequenceClassifier(10, depth=6, units=128, recurrence=layer)
        model.build(shape)
        weights = [v.value for v in model.trainable_variables]
        fixed = [v.value for v in model.non_trainable_variables]

        def run(weights, inputs, model=model, fixed=fixed):
            return model.stateless_call(weights, fixed, inputs, training=True)[0]

        name = (
            f'6-block model (8, 2048, 128, 256): scan="{scan}", block_size={block_size}'
        )
        yield name, run, weights, shape


def run(only=""):
    """Compile forward and gradient of each formulation; print and return figures."""
    import itertools

    import jax
    from jax.experimental import topologies
    from tqdm import tqdm

    topology = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x2")
    sharding = jax.sharding.SingleDeviceSharding(topology.devices[0])

    def spec(shape, dtype="float32"):
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    results = []
    for name, function, weights, shape in itertools.chain(_layer(), _model()):
        if only not in name:
            continue

        def loss(weights, inputs, function=function):
            return (function(weights, inputs) ** 2).sum()

        weights = jax.tree.map(lambda w: spec(w.shape, w.dtype), weights)
        gradient = jax.grad(loss, argnums=(0, 1))
        for kind, f in (("forward", function), ("forward + backward", gradient)):
            tqdm.write(f"compiling {name}, {kind} …")
            compiled = jax.jit(f).lower(weights, spec(shape)).compile()
            cost = compiled.cost_analysis()
            results.append(
                {
                    "candidate": name,
                    "kind": kind,
                    "bytes_mb": cost["bytes accessed"] / 1e6,
                    "gflop": cost["flops"] / 1e9,
                    "temp_mb": compiled.memory_analysis().temp_size_in_bytes / 1e6,
                }
            )
    for row in results:
        print(
            f"{row['candidate']:70s} {row['kind']:20s} {row['bytes_mb']:8.0f} MB "
            f"{row['gflop']:8.1f} GFLOP {row['temp_mb']:8.0f} MB temporary"
        )
    return results
