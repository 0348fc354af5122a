"""Writing: 1 000 characters one after the other, beside an LSTM of the same width."""

import keras
import numpy as np

from benchmarks.compiled import started
from benchmarks.registry import BOTH, Target, case
from benchmarks.shapes import sized
from keras_lru.models import LanguageModel

_CHARACTERS = sized(1, 1_000)[1]


def _writer(recurrence):
    model = LanguageModel(
        128, depth=4, units=128, state_size=128, recurrence=recurrence, seed=0
    )
    prompt = np.arange(64)
    return started(lambda: model.generate(prompt, _CHARACTERS, seed=0))


@case(
    f"generate {_CHARACTERS} characters, 4 blocks of 128, batch 1",
    Target("LRU", "LSTM", 1.0),
    suites=BOTH,
    tokens=_CHARACTERS,
)
def _():
    recurrences = {
        "LRU": None,
        "LSTM": keras.layers.LSTM(128, return_sequences=True),
        "GRU": keras.layers.GRU(128, return_sequences=True),
    }
    return {name: _writer(recurrence) for name, recurrence in recurrences.items()}
