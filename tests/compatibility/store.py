"""Store what a version saves, for all later ones to load.

    KERAS_BACKEND=jax python tests/compatibility/store.py tests/compatibility/0.1

Run once for a version, when it is released.
"""

import sys
from pathlib import Path

import keras
import numpy as np

import keras_lru
from keras_lru import layers
from keras_lru.initializers import RingMagnitude

FEATURES = 4


def sequences():
    """Two sequences of values, the second shorter."""
    x = np.random.default_rng(0).normal(size=(2, 9, FEATURES)).astype("float32")
    x[1, 6:] = 0
    return x


def tokens():
    """Two sequences of tokens, the second shorter."""
    x = np.random.default_rng(0).integers(1, 7, (2, 9)).astype("int32")
    x[1, 6:] = 0
    return x


def around(*inner):
    """A masked model of values with these layers."""
    mask = keras.layers.Masking()
    return keras.Sequential([keras.Input((None, FEATURES)), mask, *inner])


def trained(model, x, y, loss):
    """The model after two steps of the library's optimizer."""
    optimizer = keras_lru.training.AdamW(0.01, recurrent_lr_factor=0.25)
    model.compile(optimizer, loss)
    model.fit(x, y, epochs=2, verbose=0)
    return model


def models():
    """`{name: (model, inputs)}`."""
    whole = {"return_sequences": True}
    small = {"depth": 1, "units": 6, "state_size": 5, "seed": 1}
    x, t = sequences(), tokens()
    last = {
        "lru": layers.LRU(5, 3, r_min=0.3, seed=1),
        "lru_exp": layers.LRU(4, 3, parameterization="exp", normalize=False, seed=1),
        "lru_real_imag": layers.LRU(4, 3, parameterization="real_imag", seed=1),
        "s4d": layers.S4D(FEATURES, 6, seed=1),
        "s5": layers.S5(5, 8, blocks=2, seed=1),
        "dense_rnn": layers.DenseRNN(5, 3, "relu", seed=1),
        "rg_lru": layers.RGLRU(FEATURES, num_heads=2, seed=1),
    }
    cells = [
        layers.LRUCell(FEATURES, 3, seed=1),
        layers.S4DCell(FEATURES, 4, seed=1),
        layers.S5Cell(FEATURES, 4, seed=1),
        layers.DenseRNNCell(FEATURES, 3, seed=1),
        layers.RGLRUCell(FEATURES, seed=1),
    ]
    result = {name: (around(layer), x) for name, layer in last.items()}
    stack = keras.layers.RNN(keras.layers.StackedRNNCells(cells))
    result["cells"] = (keras.Sequential([keras.Input((None, FEATURES)), stack]), x)
    bidirectional = keras.layers.Bidirectional(layers.LRU(5, 3, seed=1, **whole))
    block = layers.ResidualBlock(layers.S5(10, 4, seed=1, **whole), seed=1)
    dense = keras.layers.Dense(2, kernel_initializer=RingMagnitude(0.5, 0.9, seed=1))
    result["wrapped"] = (around(bidirectional, block, dense), x)
    classifier = keras_lru.SequenceClassifier(
        3, vocabulary_size=7, mask_zero=True, **small
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    y = np.array([0, 2])
    result["classifier"] = (trained(classifier, t, y, loss), t)
    pairs = keras_lru.PairClassifier(3, pooling="last", **small)
    pair = [x, x[:, ::-1]]
    result["pair_classifier"] = (trained(pairs, pair, y, loss), pair)
    recurrence = layers.LRU(6, 4, max_phase=1.0, **whole)
    regressor = keras_lru.SequenceRegressor(2, recurrence=recurrence, **small)
    result["regressor"] = (trained(regressor, x, x[..., :2], "mse"), x)
    return result


def main(folder):
    """Write each model, its inputs and its outputs."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, (model, inputs) in models().items():
        outputs = model.predict(inputs, verbose=0)
        model.save(folder / f"{name}.keras")
        arrays = inputs if isinstance(inputs, list) else [inputs]
        np.savez_compressed(folder / f"{name}.npz", *arrays, outputs=outputs)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
