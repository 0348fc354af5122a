"""What devices exchange and keep, for batch, time and both split, as compiled.

For eight virtual CPU devices, and with `libtpu` installed for 4 and 16 of a TPU v5e:
programs are compiled and not run. Bytes are exact and repeatable; they say nothing of
seconds.
"""

import contextlib
import importlib.util
import os
import types

from benchmarks import tpu

DEVICES = 8
# Devices along the batch, and along time.
_WAYS = {
    "one device": None,
    "batch": (8, 1),
    "time": (1, 8),
    "both": (2, 4),
}
_TPU_WAYS = {
    "v5e:2x2": {"batch": (4, 1), "time": (1, 4), "both": (2, 2)},
    "v5e:4x4": {"time": (1, 16), "both": (4, 4)},
}
_SHAPE = (8, 65_536, 16)
_UNITS, _STATES, _DEPTH = 32, 64, 2


def set_environment():
    """Set what makes devices of a CPU, before JAX is imported."""
    flag = f"--xla_force_host_platform_device_count={DEVICES}"
    flags = (os.environ.get("XLA_FLAGS"), flag)
    os.environ["XLA_FLAGS"] = " ".join(filter(None, flags))
    os.environ.update(tpu.ENVIRONMENT)


def _models():
    """By name: a function that makes one, with its training step's arguments."""
    from keras_lru import LRU, RGLRU, SequenceRegressor

    def model(recurrence, **options):
        return SequenceRegressor(
            1, depth=_DEPTH, units=_UNITS, recurrence=recurrence, **options
        )

    sequences = {"return_sequences": True}
    return {
        "LRU blocks": lambda: model(LRU(_UNITS, _STATES, **sequences)),
        "LRU blocks in both directions": lambda: model(
            LRU(_UNITS, _STATES, **sequences), bidirectional=True
        ),
        "RGLRU blocks": lambda: model(RGLRU(_UNITS, **sequences)),
    }


def _formula(devices, name):
    """Bytes of states that a device receives in a training step of a model."""
    if devices is None:
        return 0
    batch, time = devices
    # Forwards and backwards, and two numbers a state: complex, or beside the product
    # of the coefficients.
    ends = 2 * 2 * 4 * (_SHAPE[0] // batch) * (time - 1)
    states = _UNITS if "RGLRU" in name else _STATES
    directions = 2 if "both" in name else 1
    return _DEPTH * directions * ends * states


def _scope(devices):
    from keras.distribution import DeviceMesh, list_devices

    from keras_lru.distribution import sequence_parallel

    if devices is None:
        return contextlib.nullcontext()
    mesh = DeviceMesh(devices, ["batch", "time"], list_devices("cpu"))
    return sequence_parallel(mesh, time="time", batch="batch")


def _gradient(model):
    """The gradient of a model in its weights, of these, its other values and inputs."""
    import jax

    def loss(weights, fixed, x):
        y, new = model.stateless_call(weights, fixed, x, training=True)
        return (y**2).sum(), new

    values = [
        [v.value for v in variables]
        for variables in (model.trainable_variables, model.non_trainable_variables)
    ]
    return jax.jit(jax.grad(loss, has_aux=True)), values


def _compiled(make, devices, shape):
    """The gradient, for data that lie where they are to."""
    import jax
    import keras

    with _scope(devices):
        model = make()
        model.build(shape)
        gradient, values = _gradient(model)
        distribution, sharding = keras.distribution.distribution(), None
        if distribution is not None:
            sharding = distribution.get_data_layout(shape).backend_layout
        x = jax.ShapeDtypeStruct(shape, "float32", sharding=sharding)
        return gradient.lower(*values, x).compile()


def _compiled_for_tpu(make, devices, shape, topology):
    """The same, for devices that are not there."""
    import jax
    import numpy as np
    from jax.experimental import topologies
    from jax.sharding import NamedSharding, PartitionSpec

    from keras_lru.backend import sequence_parallel_scope

    there = topologies.get_topology_desc(platform="tpu", topology_name=topology).devices
    mesh = jax.sharding.Mesh(np.reshape(there, devices), ("batch", "time"))
    model = make()
    model.build(shape)
    gradient, values = _gradient(model)

    def spec(shape, dtype, *axes):
        sharding = NamedSharding(mesh, PartitionSpec(*axes))
        return jax.ShapeDtypeStruct(shape, dtype, sharding=sharding)

    whole = jax.tree.map(lambda x: spec(x.shape, x.dtype), values)
    of_keras = types.SimpleNamespace(backend_mesh=mesh)
    with sequence_parallel_scope(of_keras, "time", "batch"):
        data = spec(shape, "float32", "batch", "time")
        return gradient.lower(*whole, data).compile()


def _programs(name, make):
    """`(way, devices, function that compiles)` of a model."""
    for way, devices in _WAYS.items():
        yield way, devices, lambda devices=devices: _compiled(make, devices, _SHAPE)
    # Of other models several exchanges share a channel there, and are not told apart.
    if name != "LRU blocks" or importlib.util.find_spec("libtpu") is None:
        return
    for topology, ways in _TPU_WAYS.items():
        for way, devices in ways.items():
            yield (
                f"{way}, TPU {topology}",
                devices,
                lambda devices=devices, topology=topology: _compiled_for_tpu(
                    make, devices, _SHAPE, topology
                ),
            )


def run(only=""):
    """Compile each model in each way; print and return figures."""
    from tqdm import tqdm

    from benchmarks.collectives import collectives

    results = []
    for name, make in _models().items():
        for way, devices, compile_program in _programs(name, make):
            if only not in f"{name}, {way}":
                continue
            tqdm.write(f"compiling {name}, {way} …")
            program = compile_program()
            found = collectives(program.as_text(), once_a_channel="TPU" in way)
            memory = program.memory_analysis()
            ends = [x.received for x in found if x.kind == "all-gather"]
            sums = [x.received for x in found if x.kind == "all-reduce"]
            results.append(
                {
                    "model": name,
                    "split": way,
                    "ends, bytes": sum(ends),
                    "formula, bytes": _formula(devices, name),
                    "sums, bytes": sum(sums),
                    "else, bytes": sum(x.received for x in found)
                    - sum(ends)
                    - sum(sums),
                    "exchanges": len(found),
                    "memory, bytes": memory.argument_size_in_bytes
                    + memory.temp_size_in_bytes,
                }
            )
    names = [*results[0]][2:] if results else []
    print(
        f"\n{'a device, a training step':44s} " + " ".join(f"{x:>16s}" for x in names)
    )
    for row in results:
        label = f"{row['model']}, {row['split']}"
        print(f"{label:44s} " + " ".join(f"{row[x]:16,.0f}" for x in names))
    return results
