"""What a compiled program exchanges between devices."""

import re

_LINE = re.compile(
    r"= (.*?) (all-gather|all-reduce|all-to-all|collective-permute"
    r"|collective-broadcast|reduce-scatter)(?:-start)?\("
)
_SHAPE = re.compile(r"\w+\[[\d,]*\]")


def collectives(text):
    """`[(kind, shape, …), …]` of the text of a program, sorted."""
    return sorted(
        (kind, *_SHAPE.findall(shapes)) for shapes, kind in _LINE.findall(text)
    )
