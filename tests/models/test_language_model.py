"""Language models: logits in pieces, and tokens that are written."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_lru import LanguageModel, LRUBackbone
from keras_lru.layers import LRUCell
from keras_lru.models.generation import Generator, draw
from keras_lru.training import compile_recommended

from ..cases import combinations

VOCABULARY = 13
SMALL = {"depth": 1, "units": 8, "state_size": 6, "seed": 0}
PROMPT = [3, 1, 4, 1, 5]


@pytest.fixture(scope="module")
def model():
    """A model whose logits differ enough for tokens not to be ties."""
    model = LanguageModel(VOCABULARY, **SMALL)
    model.build((None, None))
    rng = np.random.default_rng(0)
    model.head.kernel.assign(rng.normal(size=model.head.kernel.shape))
    return model


def assert_likeliest(model, prompt, written):
    """Each token must be the likeliest after all before it, read as a whole."""
    # Of one length, so that there is one program.
    whole = np.zeros((1, 16), "int32")
    tokens = [*prompt, *written]
    whole[0, : len(tokens)] = tokens
    logits = ops.convert_to_numpy(model(whole))[0]
    expected = logits.argmax(-1)[len(prompt) - 1 : len(tokens) - 1]
    np.testing.assert_array_equal(written, expected)


def test_greedy_writing_takes_the_likeliest_token_each_time(model):
    assert_likeliest(model, PROMPT, model.generate(PROMPT, 6, temperature=0))


def test_weights_are_looked_at_once_and_not_at_each_step(model, monkeypatch):
    system, looks = LRUCell.system, []
    monkeypatch.setattr(
        LRUCell, "system", lambda cell: looks.append(cell) or system(cell)
    )
    model.generate(PROMPT, 30)
    assert len(looks) < 10


VARIANTS = {
    "plain": {},
    "lstm": {"recurrence": keras.layers.LSTM(8, return_sequences=True)},
    "masks": {"mask_zero": True},
    "layer norm": {"normalization": "layer"},
}


@pytest.mark.parametrize("variant", combinations(VARIANTS, fast=[("plain",)]))
def test_logits_of_a_stepped_sequence_are_those_of_the_whole(variant):
    model = LanguageModel(VOCABULARY, **SMALL, **VARIANTS[variant])
    model.build((None, None))
    tokens = np.random.default_rng(1).integers(1, VOCABULARY, (2, 12), dtype="int32")
    pieces, states, outputs = Generator(model)._pieces, {}, []
    for piece in (tokens[:, :5], *np.split(tokens[:, 5:], 7, axis=1)):
        logits, states = pieces(piece, states)
        outputs.append(ops.convert_to_numpy(logits))
    whole = ops.convert_to_numpy(model(tokens))
    np.testing.assert_allclose(np.concatenate(outputs, 1), whole, atol=1e-4)


def test_prompts_of_different_lengths_do_not_touch_each_other(model):
    prompts = [PROMPT, [7], [2, 2]]
    written = model.generate(prompts, 6, temperature=0)
    assert written.shape == (3, 6)
    for prompt, tokens in zip(prompts, written, strict=True):
        assert_likeliest(model, prompt, tokens)


def test_draws_follow_the_seed_and_no_other(model):
    prompts = [PROMPT, PROMPT]
    first = model.generate(prompts, 12, seed=1)
    np.testing.assert_array_equal(first, model.generate(prompts, 12, seed=1))
    assert (first != model.generate(prompts, 12, seed=2)).any()
    # Sequences of a batch are drawn apart from each other.
    assert (first[0] != first[1]).any()
    # A shorter text is the start of a longer one.
    short = model.generate(prompts, 9, seed=1)
    np.testing.assert_array_equal(short, first[:, :9])


def test_the_likeliest_of_one_is_greedy(model):
    greedy = model.generate(PROMPT, 6, temperature=0)
    np.testing.assert_array_equal(greedy, model.generate(PROMPT, 6, top_k=1, seed=4))
    for temperature in (1e-4, np.float32(1e-4), 1e-300):
        cold = model.generate(PROMPT, 6, temperature=temperature, seed=4)
        np.testing.assert_array_equal(greedy, cold)


def test_after_stop_a_sequence_repeats_it(model):
    free = model.generate([PROMPT, [7]], 16, seed=3)
    stop = int(free[0, 4])
    stopped = model.generate([PROMPT, [7]], 16, seed=3, stop=stop)
    for before, after in zip(free, stopped, strict=True):
        ends = np.flatnonzero(before == stop)
        end = ends[0] if len(ends) else len(before)
        np.testing.assert_array_equal(after[:end], before[:end])
        assert (after[end:] == stop).all()


def test_training_counts_at_the_next_call():
    model = LanguageModel(VOCABULARY, **SMALL)
    tokens = np.tile(np.arange(5), (16, 4))
    compile_recommended(model, 40, learning_rate=0.05)
    before = model.generate([0, 1], 6, temperature=0)
    model.fit(tokens[:, :-1], tokens[:, 1:], epochs=40, batch_size=16, verbose=0)
    written = model.generate([0, 1, 2], 6, temperature=0)
    assert written.tolist() == [3, 4, 0, 1, 2, 3]
    assert before.tolist() != [2, 3, 4, 0, 1, 2]


def test_another_set_of_weights_counts_at_the_next_call():
    model = LanguageModel(VOCABULARY, **SMALL)
    before = model.generate(PROMPT, 6, temperature=0)
    model.head.enable_lora(2)
    rng = np.random.default_rng(0)
    for weight in (model.head.lora_kernel_a, model.head.lora_kernel_b):
        weight.assign(9 * rng.normal(size=weight.shape))
    after = model.generate(PROMPT, 6, temperature=0)
    assert (before != after).any()
    assert_likeliest(model, PROMPT, after)


def test_draws_have_the_frequencies_of_the_softmax():
    logits = np.log(np.array([0.5, 0.0, 0.2, 0.3], "float32") + 1e-30)
    uniforms = np.arange(2**12, dtype="float32") / 2**12
    rows = np.tile(logits, (len(uniforms), 1))
    for top_k, expected in ((None, [0.5, 0, 0.2, 0.3]), (2, [0.625, 0, 0, 0.375])):
        tokens = ops.convert_to_numpy(draw(rows, uniforms, top_k))
        shares = np.bincount(tokens, minlength=4) / len(tokens)
        # A token more or less at each border.
        np.testing.assert_allclose(shares, expected, atol=2 / 2**12)


def test_no_draw_leaves_the_likeliest_at_the_ends_of_the_interval():
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=8, size=(200, 50)).astype("float32")
    allowed = np.argsort(logits, axis=1)[:, -5:]
    for uniform in (0.0, 1 - 2**-23):
        tokens = ops.convert_to_numpy(draw(logits, np.full(200, uniform, "float32"), 5))
        assert all(token in row for token, row in zip(tokens, allowed, strict=True))


def test_reloads_and_writes_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    expected = model.generate(PROMPT, 8, seed=5)
    np.testing.assert_array_equal(again.generate(PROMPT, 8, seed=5), expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"vocabulary_size": 0}, "`vocabulary_size` must be .*vocabulary_size=0"),
        ({"bidirectional": True}, "`bidirectional` must be False"),
        (
            {"backbone": LRUBackbone(1, 4, 4, vocabulary_size=5)},
            "`backbone` must read as many tokens .*backbone.vocabulary_size=5",
        ),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    small = {} if "backbone" in arguments else SMALL
    with pytest.raises(ValueError, match=message):
        LanguageModel(**{"vocabulary_size": VOCABULARY, **small, **arguments})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prompt": []}, "`prompt` must be integers.*one at least"),
        ({"prompt": [[1], []]}, r"`prompt` must be .*shape \(0,\)"),
        ({"prompt": [0.5, 1.0]}, "`prompt` must be integers.*float64"),
        ({"prompt": [1, [2]]}, "`prompt` must be integers, or a list"),
        ({"prompt": "abc"}, "`prompt` must be integers"),
        ({"prompt": [1, 13]}, r"`prompt` must be in \[0, 13\).*from 1 to 13"),
        ({"prompt": [[1, 2], [-1, 2]]}, r"`prompt` must be in \[0, 13\)"),
        ({"max_new_tokens": 0}, "`max_new_tokens` must be .*max_new_tokens=0"),
        ({"temperature": -1}, "`temperature` must be .*temperature=-1"),
        ({"top_k": 0}, "`top_k` must be .*top_k=0"),
        ({"stop": 13}, r"`stop` must be in \[0, 13\)"),
        ({"stop": [1]}, "`stop` must be integers, one token"),
        ({"seed": 0.5}, "`seed` must be .*seed=0.5"),
    ],
)
def test_bad_prompts_are_refused(model, arguments, message):
    with pytest.raises(ValueError, match=message):
        model.generate(**{"prompt": PROMPT, "max_new_tokens": 2, **arguments})


def test_a_recurrence_that_reads_backwards_cannot_write():
    lstm = VARIANTS["lstm"]["recurrence"]
    recurrence = keras.layers.Bidirectional(lstm, merge_mode="sum")
    model = LanguageModel(VOCABULARY, depth=1, units=8, recurrence=recurrence)
    with pytest.raises(ValueError, match=r"cannot be streamed.*Bidirectional"):
        model.generate(PROMPT, 2)
