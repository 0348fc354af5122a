"""ListOps node by node: the judge of what is computed for many trees at once."""

import random
import statistics

OPERATORS = {
    "[MIN": min,
    "[MAX": max,
    "[MED": lambda values: int(statistics.median(values)),
    "[SM": lambda values: sum(values) % 10,
}


def parse(text):
    """Nested lists `[operator, argument, …]`, or a digit."""
    words = text.split()
    tree = _parse(words)
    assert not words
    return tree


def _parse(words):
    word = words.pop(0)
    if word not in OPERATORS:
        return int(word)
    tree = [word]
    while words[0] != "]":
        tree.append(_parse(words))
    words.pop(0)
    return tree


def evaluate(tree):
    if isinstance(tree, int):
        return tree
    return OPERATORS[tree[0]]([evaluate(argument) for argument in tree[1:]])


def size(tree):
    return 1 if isinstance(tree, int) else 2 + sum(map(size, tree[1:]))


def depth(tree):
    return 1 if isinstance(tree, int) else 1 + max(map(depth, tree[1:]))


def nodes(tree):
    """All nodes of the tree with their depths."""
    pending = [(tree, 1)]
    while pending:
        node, level = pending.pop()
        yield node, level
        if not isinstance(node, int):
            pending += [(argument, level + 1) for argument in node[1:]]


def draw(spec, rng: random.Random):
    """A tree, kept or not."""

    def grow(level):
        if level == spec.max_depth or rng.random() >= 0.25:
            return rng.randrange(10)
        count = rng.randint(2, spec.max_arguments)
        return [rng.choice(list(OPERATORS)), *(grow(level + 1) for _ in range(count))]

    return grow(1)


def draw_kept(spec, rng):
    """A tree whose size is between the bounds."""
    while True:
        tree = draw(spec, rng)
        if spec.min_size < size(tree) < spec.max_size:
            return tree
