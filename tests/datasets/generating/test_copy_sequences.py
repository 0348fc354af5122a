import hashlib

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_lru.datasets.generating.copy_sequences import draw_sequences


@given(st.integers(1, 50), st.integers(0, 2**40), st.integers(0, 10**6))
@settings(deadline=None, max_examples=25)
def test_targets_repeat_the_symbols_at_the_end(delay, seed, index):
    (example,) = draw_sequences(range(index, index + 1), delay, seed, "train")
    inputs, targets = example["inputs"].tolist(), example["targets"].tolist()
    symbols = inputs[:10]
    assert set(symbols) <= set(range(8))
    assert inputs[10:] == [8] * (delay - 1) + [9] + [8] * 10
    assert targets == [8] * (delay + 10) + symbols


def test_symbols_are_evenly_distributed():
    drawn = draw_sequences(range(2000), delay=1, seed=0, split="train")
    symbols = np.stack([example["inputs"][:10] for example in drawn])
    assert stats.chisquare(np.bincount(symbols.ravel(), minlength=8)).pvalue > 1e-3
    assert len(np.unique(symbols, axis=0)) == 2000


def test_a_sequence_depends_on_seed_split_and_index_alone():
    def symbols(indices, seed=0, split="train"):
        drawn = draw_sequences(indices, delay=3, seed=seed, split=split)
        return [example["inputs"][:10].tolist() for example in drawn]

    assert symbols(range(3, 7)) == symbols(range(10))[3:7]
    for other in (symbols(range(10), seed=1), symbols(range(10), split="test")):
        assert not any(row in symbols(range(10)) for row in other)


def test_sequences_of_version_1_are_these():
    # Whoever changes them must raise the version of the builder.
    drawn = draw_sequences(range(50), delay=10, seed=0, split="train")
    content = b"".join(example["inputs"].tobytes() for example in drawn)
    assert hashlib.sha256(content).hexdigest()[:16] == "24da19aacef9dd88"
