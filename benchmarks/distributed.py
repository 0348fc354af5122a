"""What devices exchange and keep, for batch, time and both split, as compiled.

For eight virtual CPU devices: programs are compiled and not run. Bytes are exact and
repeatable; they say nothing of seconds.
"""

import contextlib
import os

DEVICES = 8
# Devices along the batch, and along time.
_WAYS = {
    "one device": None,
    "batch": (8, 1),
    "time": (1, 8),
    "both": (2, 4),
}
_SHAPE = (8, 65_536, 16)
_UNITS, _STATES, _DEPTH = 32, 64, 2


def set_environment():
    """Set what makes devices of a CPU, before JAX is imported."""
    flag = f"--xla_force_host_platform_device_count={DEVICES}"
    flags = (os.environ.get("XLA_FLAGS"), flag)
    os.environ["XLA_FLAGS"] = " ".join(filter(None, flags))


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


def _formula(way, name):
    """Bytes of states that a device receives in a training step of a model."""
    batch, time = _WAYS[way]
    # Forwards and backwards, and two numbers a state: complex, or beside the product
    # of the coefficients.
    ends = 2 * 2 * 4 * (_SHAPE[0] // batch) * (time - 1)
    states = _UNITS if "RGLRU" in name else _STATES
    directions = 2 if "both" in name else 1
    return _DEPTH * directions * ends * states


def _scope(way):
    from keras.distribution import DeviceMesh, list_devices

    from keras_lru.distribution import sequence_parallel

    if _WAYS[way] is None:
        return contextlib.nullcontext()
    mesh = DeviceMesh(_WAYS[way], ["batch", "time"], list_devices("cpu"))
    return sequence_parallel(mesh, time="time", batch="batch")


def _compiled(make, way, shape):
    """The gradient of a model in its weights, for data that lie where they are to."""
    import jax
    import keras

    with _scope(way):
        model = make()
        model.build(shape)
        weights = [v.value for v in model.trainable_variables]
        fixed = [v.value for v in model.non_trainable_variables]

        def loss(weights, x):
            y, new = model.stateless_call(weights, fixed, x, training=True)
            return (y**2).sum(), new

        distribution, sharding = keras.distribution.distribution(), None
        if distribution is not None:
            sharding = distribution.get_data_layout(shape).backend_layout
        x = jax.ShapeDtypeStruct(shape, "float32", sharding=sharding)
        return jax.jit(jax.grad(loss, has_aux=True)).lower(weights, x).compile()


def run(only=""):
    """Compile each model in each way; print and return figures."""
    from tqdm import tqdm

    from benchmarks.collectives import collectives

    results = []
    for name, make in _models().items():
        for way in _WAYS:
            if only not in f"{name}, {way}":
                continue
            tqdm.write(f"compiling {name}, {way} …")
            program = _compiled(make, way, _SHAPE)
            found = collectives(program.as_text())
            memory = program.memory_analysis()
            ends = [x.received for x in found if x.kind == "all-gather"]
            sums = [x.received for x in found if x.kind == "all-reduce"]
            results.append(
                {
                    "model": name,
                    "split": way,
                    "ends, bytes": sum(ends),
                    "formula, bytes": 0 if way == "one device" else _formula(way, name),
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
