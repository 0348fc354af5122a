"""What a compiled program exchanges between devices, read in its text."""

import math
import re
from typing import NamedTuple

_LINE = re.compile(
    r"= (?P<shapes>.*?) (?P<kind>all-gather|all-reduce|all-to-all|collective-permute"
    r"|collective-broadcast|reduce-scatter)(?:-start)?\((?P<rest>.*)"
)
_CHANNEL = re.compile(r"channel_id=(\d+)")
_SHAPE = re.compile(r"(\w+)\[([\d,]*)\]")
# `[groups,devices]<=[…]`, or the groups themselves.
_GROUPS = re.compile(r"replica_groups=(?:\[\d+,(\d+)\]|\{\{([\d,]+)\})")
_BYTES = {"pred": 1, "bf16": 2, "f16": 2, "f32": 4, "s32": 4, "u32": 4, "f64": 8}


class Collective(NamedTuple):
    """One exchange.

    Attributes:
        kind: Its name in XLA.
        shapes: Of its results, `dtype[sizes]` each.
        received: Bytes that reach a device, if they go around in a ring.
    """

    kind: str
    shapes: tuple[str, ...]
    received: float


def collectives(text, once_a_channel=False):
    """All exchanges of the text of a program, sorted.

    Args:
        text: Of the compiled program.
        once_a_channel: Whether those of one channel are one exchange, as the start and
            the end of one are on a TPU.
    """
    found = {}
    for i, line in enumerate(_LINE.finditer(text)):
        channel = once_a_channel and _CHANNEL.search(line["rest"])
        found.setdefault(channel[1] if channel else f"line {i}", _read(line))
    return sorted(found.values())


def _read(line):
    shapes = _SHAPE.findall(line["shapes"])
    size = sum(
        _BYTES[dtype] * math.prod(map(int, filter(None, sizes.split(","))))
        for dtype, sizes in shapes
    )
    share = 1.0
    groups = _GROUPS.search(line["rest"])
    if groups:
        devices = int(groups[1] or len(groups[2].split(",")))
        share = (devices - 1) / devices
    # A sum goes around twice: until it is made, and until all have it.
    rounds = 2 if line["kind"] == "all-reduce" else 1
    names = tuple(f"{dtype}[{sizes}]" for dtype, sizes in shapes)
    return Collective(line["kind"], names, rounds * share * size)
