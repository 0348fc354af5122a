"""ListOps: random trees of operators over digits, many at once.

A batch of trees is grown level by level with array operations, from words that
depend on the path from the root to a node alone (`seeding.child_words`). So a tree
is a function of its seed and index, whatever it is grown together with.
"""

import dataclasses

import numpy as np

from keras_lru.checks import check_positive_integer
from keras_lru.datasets.generating.seeding import child_words, seed_sequence

VOCABULARY = ("<pad>", "[MIN", "[MAX", "[MED", "[SM", "]", *"0123456789")
MIN, MAX, MED, SM, CLOSE, ZERO = map(
    VOCABULARY.index, ("[MIN", "[MAX", "[MED", "[SM", "]", "0")
)

# Trees at once: enough to hide what a NumPy call costs, few enough for the cache.
_CANDIDATES = 4_096
_ASSEMBLED = 128
_MAX_CANDIDATES_PER_TREE = 2**22


@dataclasses.dataclass(frozen=True)
class TreeSpec:
    """Which trees are drawn, and which of them are kept.

    A node is an operator with probability 1/4, else a digit.

    Args:
        max_depth: Integer of at least 2, the depth at which all nodes are digits; the
            root has depth 1.
        max_arguments: Integer of at least 2, the most arguments of an operator, which
            has at least 2.
        min_size: Positive integer; trees of this size and smaller are not kept. A
            digit has size 1, an operator 2 more than its arguments.
        max_size: Integer; trees of this size and larger are not kept.

    Raises:
        ValueError: If an argument is not as above, or if no tree is of a size between.
    """

    max_depth: int = 10
    max_arguments: int = 10
    min_size: int = 500
    max_size: int = 2000

    def __post_init__(self):
        for field in dataclasses.fields(self):
            check_positive_integer(field.name, getattr(self, field.name))
        for name in ("max_depth", "max_arguments"):
            if getattr(self, name) < 2:
                raise ValueError(
                    f"`{name}` must be at least 2. "
                    f"Received: {name}={getattr(self, name)}"
                )
        # Every node is an operator with all arguments, down to the digits.
        largest = 1
        for _ in range(self.max_depth - 1):
            largest = 2 + self.max_arguments * largest
        if max(4, self.min_size + 1) > min(largest, self.max_size - 1):
            raise ValueError(
                "`min_size` and `max_size` must leave sizes of trees between them, "
                f"from 4 to {largest}. Received: min_size={self.min_size}, "
                f"max_size={self.max_size}"
            )


def draw_trees(
    indices: range, spec: TreeSpec, seed: int, split: str, draw: int = 0
) -> list[dict]:
    """The ListOps examples of a range of indices.

    Trees are drawn independently and kept if their size is between
    `spec.min_size` and `spec.max_size`, both excluded.

    Args:
        indices: The examples' numbers in the split.
        spec: A `TreeSpec`.
        seed: Integer of at least 0, the dataset's seed.
        split: Name of the split.
        draw: Integer of at least 0; each draw gives other trees.

    Returns:
        A list of dictionaries: `"tokens"`, a uint8 array of numbers of `VOCABULARY`
        as long as the tree's size, and `"label"`, the tree's value, an integer from
        0 to 9.

    Raises:
        ValueError: If `spec` keeps less than one in millions of trees.

    References:
        [Nangia and Bowman, 2018](https://arxiv.org/abs/1804.06028);
        [Tay et al., 2021](https://arxiv.org/abs/2011.04006).

    Example:
        >>> from keras_lru.datasets.generating.listops_trees import (
        ...     TreeSpec,
        ...     draw_trees,
        ...     to_text,
        ... )
        >>> spec = TreeSpec(max_depth=3, max_arguments=3, min_size=6, max_size=12)
        >>> for tree in draw_trees(range(2), spec, seed=0, split="train"):
        ...     print(to_text(tree["tokens"]), "=", tree["label"])
        [MAX [MED 4 1 ] 4 ] = 4
        [SM [MED 1 0 ] [MIN 9 7 ] ] = 7
    """
    split_word = seed_sequence(seed, split).generate_state(1, np.uint64)
    numbers = np.arange(indices.start, indices.stop)
    keys = child_words(child_words(split_word, numbers), draw)
    roots = _draw_roots(keys, spec)
    examples = []
    for start in range(0, len(roots), _ASSEMBLED):
        examples += _assemble(_grow(roots[start : start + _ASSEMBLED], spec))
    return examples


def to_text(tokens) -> str:
    """The expression, its tokens separated by spaces."""
    return " ".join(VOCABULARY[token] for token in tokens)


def parse_tree(text: bytes) -> np.ndarray:
    """The tokens of an expression, whose parentheses are left out.

    Args:
        text: The expression, its tokens and parentheses separated by spaces.

    Returns:
        A uint8 array of numbers of `VOCABULARY`.

    Raises:
        ValueError: If there is another token, or if this is not one whole expression.

    Example:
        >>> from keras_lru.datasets.generating.listops_trees import parse_tree
        >>> parse_tree(b"( ( ( [MAX 3 ) 7 ) ] )").tolist()
        [2, 9, 13, 5]
    """
    words = text.translate(None, b"()").split()
    unknown = set(words) - set(_TOKENS)
    if unknown:
        raise ValueError(f"`text` must be ListOps. Received: {sorted(unknown)}")
    tokens = np.array([_TOKENS[word] for word in words], np.uint8)
    # How many operators are open after each token: none after the last alone.
    steps = np.where(tokens < CLOSE, 1, np.where(tokens == CLOSE, -1, 0))
    still_open = np.cumsum(steps)
    ends = np.flatnonzero(still_open <= 0)
    if ends.tolist() != [len(tokens) - 1] or still_open[-1] < 0:
        raise ValueError("`text` must be one whole expression")
    return tokens


_TOKENS = {word.encode(): token for token, word in enumerate(VOCABULARY) if token}


def _draw_roots(keys, spec):
    """The word of the first tree that `spec` keeps, for each key."""
    roots = np.zeros_like(keys)
    pending = np.arange(len(keys))
    tried = 0
    while len(pending):
        if tried > _MAX_CANDIDATES_PER_TREE:
            raise ValueError(
                f"`spec` must keep more than one in {_MAX_CANDIDATES_PER_TREE} trees. "
                f"Received: spec={spec}"
            )
        # A twelfth of the trees have the benchmark's sizes; other bounds keep less.
        count = max(8, min(_CANDIDATES // len(pending), max(16, tried)))
        numbers = np.arange(tried, tried + count)
        words = child_words(keys[pending, np.newaxis], numbers)
        # A root that is a digit is of size 1, and never kept.
        row, column = np.nonzero(_is_operator(words))
        words = words[row, column]
        sizes = _sizes(words, spec)
        kept = np.flatnonzero((spec.min_size < sizes) & (sizes < spec.max_size))
        found, first = np.unique(row[kept], return_index=True)
        roots[pending[found]] = words[kept[first]]
        pending = np.delete(pending, found)
        tried += count
    return roots


def _sizes(roots, spec):
    """The sizes of the trees that grow from `roots`, all of them operators.

    Those of `spec.max_size` and more are lower bounds.
    """
    words, trees = roots, np.arange(len(roots))
    sizes = np.ones(len(roots), np.int64)
    for _ in range(1, spec.max_depth):
        operators = np.flatnonzero(_is_operator(words))
        words, trees = words[operators], trees[operators]
        arities = _arities(words, spec)
        # The closing bracket, and the arguments' first tokens.
        sizes += np.bincount(trees, 1 + arities, len(sizes)).astype(np.int64)
        growing = sizes[trees] < spec.max_size
        words, trees, arities = words[growing], trees[growing], arities[growing]
        words = _arguments(words, arities)
        trees = np.repeat(trees, arities)
    return sizes


# A word's lowest 2 bits say whether the node is an operator, the next 2 which; the
# highest 32 say how many arguments, or which digit.


def _is_operator(words):
    return words & np.uint64(3) == 0


def _arities(words, spec):
    return 2 + _scale(words, spec.max_arguments - 1)


def _scale(words, choices):
    """Evenly distributed integers from 0 to `choices` - 1."""
    high = words >> np.uint64(32)
    return (high * np.uint64(choices) >> np.uint64(32)).astype(np.int64)


def _kinds(words):
    # The operators are tokens 1 to 4.
    return MIN + (words >> np.uint64(2) & np.uint64(3)).astype(np.int64)


def _arguments(words, arities):
    """The words of the arguments, operator by operator."""
    first = np.cumsum(arities) - arities
    numbers = np.arange(arities.sum()) - np.repeat(first, arities)
    return child_words(np.repeat(words, arities), numbers)


@dataclasses.dataclass
class _Level:
    """The nodes of a batch of trees at one depth, tree by tree.

    `digits` has a value for every node; `operators` are the places of those nodes
    that are none, `kinds` and `arities` theirs, and `first` the places of their
    first arguments in the next level.
    """

    digits: np.ndarray
    operators: np.ndarray
    kinds: np.ndarray
    arities: np.ndarray
    first: np.ndarray


def _grow(roots, spec):
    levels = []
    words = roots
    for depth in range(1, spec.max_depth + 1):
        if depth < spec.max_depth:
            operators = np.flatnonzero(_is_operator(words))
        else:
            operators = np.zeros(0, np.int64)
        digits = _scale(words, 10)
        words = words[operators]
        arities = _arities(words, spec)
        first = np.cumsum(arities) - arities
        levels.append(_Level(digits, operators, _kinds(words), arities, first))
        if not len(operators):
            break
        words = _arguments(words, arities)
    return levels


def _assemble(levels):
    """The examples of the trees that `levels` describe."""
    # From the leaves up: every node's size and value.
    values = [levels[-1].digits]
    sizes = [np.ones_like(values[0])]
    for level in reversed(levels[:-1]):
        value, size = level.digits.copy(), np.ones_like(level.digits)
        value[level.operators] = _evaluate(level, values[0])
        size[level.operators] = 2 + np.add.reduceat(sizes[0], level.first)
        values.insert(0, value)
        sizes.insert(0, size)

    # From the roots down: every node's place among the tokens.
    ends = np.cumsum(sizes[0])
    tokens = np.empty(ends[-1], np.uint8)
    places = ends - sizes[0]
    for level, size, next_size in zip(levels, sizes, [*sizes[1:], None], strict=True):
        tokens[places] = ZERO + level.digits
        opening = places[level.operators]
        tokens[opening] = level.kinds
        tokens[opening + size[level.operators] - 1] = CLOSE
        if next_size is not None:
            before = np.cumsum(next_size) - next_size
            places = before + np.repeat(
                opening + 1 - before[level.first], level.arities
            )
    return [
        {"tokens": tree, "label": int(label)}
        for tree, label in zip(np.split(tokens, ends[:-1]), values[0], strict=True)
    ]


def _evaluate(level, arguments):
    """The values of a level's operators, from the next level's values."""
    first, arities = level.first, level.arities
    # Sorted within each operator's arguments.
    groups = np.repeat(np.arange(len(first)) * 16, arities)
    ordered = np.sort(groups + arguments) & 15
    middle = ordered[first + (arities - 1) // 2] + ordered[first + arities // 2]
    return np.select(
        [level.kinds == kind for kind in (MIN, MAX, MED, SM)],
        [
            ordered[first],
            ordered[first + arities - 1],
            middle // 2,
            np.add.reduceat(arguments, first) % 10,
        ],
    )
