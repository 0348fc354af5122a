import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_lru.datasets.reading.ragged_sequences import RaggedSequences


@given(st.lists(st.binary(max_size=8), min_size=1, max_size=6), st.data())
@settings(deadline=None, max_examples=50)
def test_pad_gives_back_what_was_put_end_to_end(texts, data):
    steps = np.frombuffer(b"".join(texts), np.uint8)
    sequences = RaggedSequences(steps, [len(text) for text in texts])
    indices = data.draw(st.lists(st.integers(0, len(texts) - 1), max_size=5))
    padded = sequences.pad(indices, 9)
    assert padded.shape == (len(indices), 9)
    for row, index in zip(padded, indices, strict=True):
        assert row.tobytes() == texts[index].ljust(9, b"\0")


def test_steps_may_have_features():
    sequences = RaggedSequences(np.arange(6, dtype=np.uint8).reshape(3, 2), [1, 2])
    assert sequences.pad([1, 0], 2).tolist() == [[[2, 3], [4, 5]], [[0, 1], [0, 0]]]


def test_does_not_cut_in_silence():
    with pytest.raises(ValueError, match="could not broadcast"):
        RaggedSequences(np.zeros(5, np.uint8), [5]).pad([0], 4)
