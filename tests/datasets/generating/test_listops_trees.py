import collections
import hashlib
import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from keras_lru.datasets.generating import listops_trees
from keras_lru.datasets.generating.listops_trees import (
    VOCABULARY,
    TreeSpec,
    draw_trees,
    parse_tree,
    to_text,
)

from . import listops_reference as reference

SHORT = TreeSpec(max_depth=4, max_arguments=4, min_size=10, max_size=40)
# Keeps every tree whose root is an operator.
ALL = TreeSpec(min_size=3, max_size=10**9)


def parsed(trees):
    return [reference.parse(to_text(tree["tokens"])) for tree in trees]


@st.composite
def specs(draw):
    max_arguments = draw(st.integers(2, 6))
    # An operator with the most arguments, all digits, is kept.
    size = 2 + max_arguments
    return TreeSpec(
        max_depth=draw(st.integers(2, 6)),
        max_arguments=max_arguments,
        min_size=draw(st.integers(1, size - 1)),
        max_size=draw(st.integers(size + 1, 80)),
    )


@given(specs(), st.integers(0, 2**70), st.integers(0, 10**7))
@settings(deadline=None, max_examples=25)
def test_trees_are_within_bounds_and_have_their_values(spec, seed, start):
    drawn = draw_trees(range(start, start + 20), spec, seed, "train")
    assert len(drawn) == 20
    for example, tree in zip(drawn, parsed(drawn), strict=True):
        assert reference.evaluate(tree) == example["label"]
        assert spec.min_size < reference.size(tree) < spec.max_size
        assert reference.size(tree) == len(example["tokens"])
        assert reference.depth(tree) <= spec.max_depth
        arities = [
            len(node) - 1
            for node, _ in reference.nodes(tree)
            if not isinstance(node, int)
        ]
        assert 2 <= min(arities) <= max(arities) <= spec.max_arguments


def test_benchmark_s_trees_are_within_bounds_and_have_their_values():
    spec = TreeSpec()
    drawn = draw_trees(range(300), spec, seed=0, split="train")
    for example, tree in zip(drawn, parsed(drawn), strict=True):
        assert reference.evaluate(tree) == example["label"]
        assert 500 < reference.size(tree) < 2000
        assert reference.depth(tree) <= 10
    assert {example["label"] for example in drawn} == set(range(10))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[MIN 4 2 7 ]", 2),
        ("[MAX 4 2 7 ]", 7),
        ("[MED 1 8 3 ]", 3),
        ("[MED 1 8 3 4 ]", 3),
        ("[SM 9 8 7 ]", 4),
        ("[SM [MED 9 9 ] [MIN 0 [MAX 1 2 ] ] 5 ]", 4),
    ],
)
def test_reference_agrees_with_values_found_by_hand(text, value):
    assert reference.evaluate(reference.parse(text)) == value


def test_nodes_are_drawn_with_the_benchmark_s_probabilities():
    trees = parsed(draw_trees(range(1000), ALL, seed=0, split="train"))
    # The root is an operator because others are not kept.
    inner = [
        node
        for tree in trees
        for node, level in reference.nodes(tree)
        if 1 < level < ALL.max_depth
    ]
    operators = [node for node in inner if not isinstance(node, int)]
    digits = [node for node in inner if isinstance(node, int)]
    assert len(inner) > 100_000
    share = stats.binomtest(len(operators), len(inner), 0.25)
    counts = {
        "operators": collections.Counter(node[0] for node in operators),
        "arities": collections.Counter(len(node) - 1 for node in operators),
        "digits": collections.Counter(digits),
    }
    assert sorted(counts["arities"]) == list(range(2, 11))
    assert sorted(counts["digits"]) == list(range(10))
    assert share.pvalue > 1e-3
    for name, counter in counts.items():
        assert stats.chisquare(list(counter.values())).pvalue > 1e-3, name


def test_nodes_at_the_greatest_depth_are_digits():
    spec = TreeSpec(max_depth=3, min_size=3, max_size=10**6)
    for tree in parsed(draw_trees(range(200), spec, seed=0, split="train")):
        deepest = [node for node, level in reference.nodes(tree) if level == 3]
        assert all(isinstance(node, int) for node in deepest)


@pytest.mark.parametrize("spec", [TreeSpec(), SHORT], ids=["benchmark", "short"])
def test_kept_trees_are_distributed_as_those_drawn_one_by_one(spec):
    rng = random.Random(0)
    slow = [reference.draw_kept(spec, rng) for _ in range(200)]
    fast = parsed(draw_trees(range(1000), spec, seed=0, split="train"))
    for measure in (reference.size, lambda tree: len(tree) - 1):
        one, other = ([measure(tree) for tree in trees] for trees in (slow, fast))
        assert stats.ks_2samp(one, other).pvalue > 1e-3


@given(st.integers(0, 40), st.integers(1, 20))
@settings(deadline=None, max_examples=20)
def test_a_tree_depends_on_its_index_alone(start, count):
    alone = draw_trees(range(start, start + count), SHORT, seed=3, split="test")
    together = draw_trees(range(60), SHORT, seed=3, split="test")
    for one, other in zip(alone, together[start : start + count], strict=True):
        assert one["label"] == other["label"]
        np.testing.assert_array_equal(one["tokens"], other["tokens"])


@pytest.mark.parametrize(
    "other", [{"seed": 1}, {"split": "test"}, {"draw": 1}], ids=lambda other: [*other]
)
def test_seed_split_and_draw_give_other_trees(other):
    arguments = {"spec": TreeSpec(), "seed": 0, "split": "train", "draw": 0}
    one, two = (
        {example["tokens"].tobytes() for example in draw_trees(range(50), **changed)}
        for changed in (arguments, {**arguments, **other})
    )
    assert len(one) == len(two) == 50
    assert not one & two


def test_trees_of_version_1_are_these():
    # Whoever changes them must raise the version of the builder.
    trees = draw_trees(range(50), TreeSpec(), seed=0, split="train")
    digest = hashlib.sha256()
    for tree in trees:
        digest.update(tree["tokens"].tobytes() + bytes([tree["label"]]))
    assert digest.hexdigest()[:16] == "e2193e7b1577a5e3"


def test_vocabulary_is_padding_and_the_fifteen_symbols():
    assert " ".join(VOCABULARY) == "<pad> [MIN [MAX [MED [SM ] 0 1 2 3 4 5 6 7 8 9"


def test_parsing_leaves_out_the_parentheses():
    text = b"( ( ( ( [SM ( ( ( [MED 1 ) 8 ) ] ) ) 3 ) 7 ) ] )"
    assert to_text(parse_tree(text)) == "[SM [MED 1 8 ] 3 7 ]"


@given(st.integers(0, 10**6))
@settings(deadline=None, max_examples=10)
def test_parsing_inverts_writing(index):
    (tree,) = draw_trees(range(index, index + 1), SHORT, seed=0, split="train")
    np.testing.assert_array_equal(
        parse_tree(to_text(tree["tokens"]).encode()), tree["tokens"]
    )


@pytest.mark.parametrize(
    "text",
    [b"", b"]", b"[MAX 3", b"[MAX 3 [MIN 1 2 ]", b"[MAX 3 1 ] 4", b"[MAX 3 1 ] ]"],
)
def test_refuses_half_an_expression(text):
    with pytest.raises(ValueError, match="`text` must be one whole expression"):
        parse_tree(text)


@pytest.mark.parametrize("text", [b"[MAX 3 10 ]", b"[MEAN 3 1 ]", b"<pad> 3"])
def test_refuses_other_tokens(text):
    with pytest.raises(ValueError, match=r"`text` must be ListOps. Received"):
        parse_tree(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_depth", 1),
        ("max_depth", 2.5),
        ("max_arguments", 1),
        ("min_size", 0),
        ("max_size", -1),
    ],
)
def test_refuses_a_spec(name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be .* Received"):
        TreeSpec(**{name: value})


@pytest.mark.parametrize(
    "sizes",
    [
        {"min_size": 500, "max_size": 501},
        {"min_size": 1, "max_size": 4},
        {"max_depth": 2, "min_size": 12},
    ],
)
def test_refuses_sizes_that_no_tree_has(sizes):
    with pytest.raises(ValueError, match="must leave sizes of trees between them"):
        TreeSpec(**sizes)


def test_smallest_and_largest_trees_can_be_asked_for():
    for spec in (
        TreeSpec(min_size=3, max_size=5),
        TreeSpec(max_depth=2, min_size=11, max_size=13),
    ):
        drawn = draw_trees(range(5), spec, seed=0, split="train")
        assert {len(tree["tokens"]) for tree in drawn} == {spec.min_size + 1}


def test_sizes_that_hardly_any_tree_has_are_told(monkeypatch):
    monkeypatch.setattr(listops_trees, "_MAX_CANDIDATES_PER_TREE", 9)
    spec = TreeSpec(max_depth=3, min_size=121, max_size=123)
    with pytest.raises(ValueError, match="`spec` must keep more than one in 9 trees"):
        draw_trees(range(1), spec, seed=0, split="train")
