"""Steps of unequal size, restarts, and packed sequences, beside the plain layer."""

import keras
import numpy as np
from keras import ops

from benchmarks import compiled
from benchmarks.layer_cases import make_inputs
from benchmarks.registry import Target, case
from benchmarks.shapes import sized
from keras_lru.datasets import pack
from keras_lru.layers import LRU, RGLRU
from keras_lru.models import LanguageModel

_SHAPE = sized(8, 2048, 128, 256)
_SIZES, _IMPULSES, _RESET = "step_sizes", 'step_sizes, hold="impulse"', "reset"
_ONE_BY_ONE = "plain, block_size=1"


def _candidates(layers, inputs, gradient):
    """Of `{name: (layer, call options)}`, forward or forward and backward."""
    ready = {}
    for name, (layer, options) in layers.items():
        layer.build(inputs.shape)
        weights = [ops.convert_to_tensor(w) for w in layer.trainable_weights]

        def run(weights, inputs, layer=layer, options=options):
            return layer.stateless_call(weights, [], inputs, **options)[0]

        how = compiled.compile_gradient if gradient else compiled.compile_function
        ready[name] = how(run, weights, inputs)
    return ready


def _in_time(shape):
    """Step sizes about 1, and a restart each 64 steps on average."""
    rng = np.random.default_rng(0)
    sizes = rng.exponential(size=shape).astype("float32") + 0.05
    return ops.convert_to_tensor(sizes), ops.convert_to_tensor(
        rng.random(shape) < 1 / 64
    )


def _layer(gradient):
    *shape, states = _SHAPE
    what = "forward + backward" if gradient else "forward"

    @case(
        f"LRU {_SHAPE}, {what}",
        Target(_SIZES, _ONE_BY_ONE, 2.0),
        Target(_IMPULSES, _ONE_BY_ONE, 2.0),
        Target(_RESET, _ONE_BY_ONE, 1.5),
        suites=("time",),
        tokens=shape[0] * shape[1],
    )
    def _():
        sizes, reset = _in_time(tuple(shape[:2]))

        def lru(**options):
            return LRU(shape[-1], states, return_sequences=True, **options)

        layers = {
            "plain": (lru(), {}),
            _ONE_BY_ONE: (lru(block_size=1), {}),
            _SIZES: (lru(), {"step_sizes": sizes}),
            _IMPULSES: (lru(hold="impulse"), {"step_sizes": sizes}),
            _RESET: (lru(), {"reset": reset}),
            "step_sizes and reset": (lru(), {"step_sizes": sizes, "reset": reset}),
            "rate=0.5": (lru(), {"rate": 0.5}),
        }
        return _candidates(layers, make_inputs(*shape), gradient)

    @case(
        f"RGLRU {tuple(shape)}, {what}",
        Target(_RESET, "plain", 1.5),
        suites=("time",),
        tokens=shape[0] * shape[1],
    )
    def _():
        _, reset = _in_time(tuple(shape[:2]))
        layers = {
            "plain": (RGLRU(shape[-1], return_sequences=True), {}),
            _RESET: (RGLRU(shape[-1], return_sequences=True), {"reset": reset}),
        }
        return _candidates(layers, make_inputs(*shape), gradient)


_layer(gradient=False)
_layer(gradient=True)

_LENGTH = sized(1, 1024)[1]
_PACKED, _PADDED = "packed, with reset", "padded, with a mask"


def ragged_text(count, longest):
    """Token sequences of lengths as of messages: most are short, some are long."""
    rng = np.random.default_rng(0)
    lengths = np.clip(rng.lognormal(np.log(longest / 10), 1.0, count), 2, longest)
    return [rng.integers(1, 100, int(n)) for n in lengths]


def _train_step(inputs, targets, **options):
    """One update of a language model by the gradient of its mean loss."""
    model = LanguageModel(100, depth=2, units=64, state_size=64, normalization="layer")
    tokens = keras.Input((inputs.shape[1],), dtype="int32")
    given = {
        name: keras.Input((inputs.shape[1],), dtype="bool", name=name)
        for name in options
    }
    functional = keras.Model([tokens, *given.values()], model(tokens, **given))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    functional.compile("adam", loss)
    weight = (targets > 0).astype("float32")
    data = [inputs, *options.values()]
    return compiled.started(
        lambda: functional.train_on_batch(data, targets, sample_weight=weight)
    )


_TEXT = ragged_text(64, _LENGTH)


@case(
    f"train_on_batch on 64 texts of 2 to {_LENGTH} tokens, mean "
    f"{int(np.mean([len(x) for x in _TEXT]))}",
    Target(_PACKED, _PADDED, 1.0),
    suites=("time",),
    tokens=sum(len(x) - 1 for x in _TEXT),
)
def _():
    first, second = [x[:-1] for x in _TEXT], [x[1:] for x in _TEXT]
    length = max(map(len, first))
    packed = pack(first, length)
    padded, targets = (
        np.stack([np.pad(x, (0, length - len(x))) for x in texts])
        for texts in (first, second)
    )
    return {
        _PACKED: _train_step(packed.inputs, packed.pack(second), reset=packed.reset),
        _PADDED: _train_step(padded, targets, mask=padded > 0),
    }
