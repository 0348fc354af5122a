"""The one place that chooses how a recurrence is computed."""

import numbers

import keras

from keras_lru.backend import (
    cuts_unknown_lengths,
    has_accelerator,
    has_loop_in_place,
    has_recurrence_kernel,
    longest_loop,
    time_shards,
)
from keras_lru.checks import check_choice, is_number
from keras_lru.ops.time_invariant import ALGORITHMS, CHUNK

SCANS = ("auto", *ALGORITHMS)
# Largest block, and how many times the projections' products it may add. Where memory
# traffic is what costs, as on a GPU or TPU, products are cheaper than states.
_LIMITS = {"cpu": (4, 0.5), "accelerator": (16, 1.0)}
# Complex states, of one sequence and of all, from which single steps in place cost less
# than blocks of two: a step of the loop has a cost of its own.
_WIDE = 32
_WIDE_IN_ALL = 128


def check_scan(scan: str) -> str:
    """Raise `ValueError` unless `scan` names an algorithm; return it."""
    check_choice("scan", scan, SCANS)
    return scan


def check_block_size(block_size: int | str) -> int | str:
    """`"auto"`, or `block_size` as `int`; `ValueError` if it is not positive either."""
    if isinstance(block_size, str) and block_size == "auto":
        return block_size
    if isinstance(block_size, str) or not (
        is_number(block_size, numbers.Integral) and block_size > 0
    ):
        raise ValueError(
            '`block_size` must be "auto" or a positive integer. '
            f"Received: block_size={block_size!r}"
        )
    return int(block_size)


def resolve_scan(
    scan: str, length: int | None, batch: int | None = 1, of_steps: bool = False
) -> str:
    """Algorithm for a time-invariant recurrence over `length` steps (None: unknown).

    `of_steps` tells that they are single steps, and no blocks. Of a `batch` that is
    unknown beside a known length, "auto" is no loop: JAX exports then, maybe to a
    format that has none.
    """
    check_scan(scan)
    if scan == "pallas" and not has_recurrence_kernel():
        raise ValueError(
            '`scan="pallas"` needs the JAX backend; "auto" runs on all. '
            f"Received: scan={scan!r} on the backend {keras.backend.backend()!r}"
        )
    if scan == "auto":
        if has_accelerator():
            scan = "associative"
        elif of_steps and takes_single_steps("sequential", length, batch):
            scan = "sequential"
        else:
            limit = longest_loop() if length is None or batch is not None else 0
            is_short = limit is None or (length is not None and length <= limit)
            scan = "sequential" if is_short else "chunked"
    if length is None and not cuts_unknown_lengths():
        return "sequential"
    if scan in ("associative", "pallas") and length is None:
        return "chunked"
    return scan


def takes_single_steps(scan: str, length: int | None, batch: int | None) -> bool:
    """Whether `keras_lru.ops.single_steps` solves a recurrence that is not of blocks.

    A kernel is made for one number of sequences, which do not lie split.
    """
    if length is None:
        return False
    if scan == "pallas":
        return batch is not None and time_shards() == 1
    return scan == "sequential" and has_loop_in_place(batch)


def resolve_varying_scan(scan: str, length: int | None) -> str:
    """Algorithm for a recurrence whose coefficients vary in time."""
    if scan == "auto" and length is not None and not has_accelerator():
        # Chunks, of several operations a step and not of two, are worth it sooner.
        scan = "chunked" if length > CHUNK else resolve_scan(scan, 1)
    return resolve_scan(scan, length)


def resolve_block_size(
    block_size: int | str,
    length: int | None,
    input_dim: int,
    output_dim: int,
    state_size: int,
    batch: int | None = 1,
) -> int:
    """Steps per block of a `DenseSystem`, for `length` steps (None: unknown).

    A block of T steps stores and scans T times fewer states, for T·H·O extra products
    a step beside the 2·N·(H + O) of the projections.
    """
    size = check_block_size(block_size)
    if length is None and not cuts_unknown_lengths():
        return 1
    if isinstance(size, str):
        largest, extra = _LIMITS["accelerator" if has_accelerator() else "cpu"]
        projections = 2 * state_size * (input_dim + output_dim)
        affordable = extra * projections / (input_dim * output_dim)
        size = 1
        while 2 * size <= min(largest, affordable):
            size *= 2
        # Where a loop over blocks costs a launch a step, those of four lose too.
        loses = size == 2 or longest_loop() == 0
        # An unknown batch is one of many in training.
        all_states = _WIDE_IN_ALL if batch is None else batch * state_size
        is_wide = state_size >= _WIDE and all_states >= _WIDE_IN_ALL
        if loses and is_wide and takes_single_steps("sequential", length, batch):
            size = 1
    return size if length is None else min(size, max(length, 1))


def resolve_channelwise_block_size(block_size: int | str, length: int | None) -> int:
    """Steps per block of a `ChannelwiseSystem`, for `length` steps (None: unknown)."""
    size = check_block_size(block_size)
    if length is None and not cuts_unknown_lengths():
        return 1
    if isinstance(size, str):
        # Beside 4·n products a step for n states, T more: cheaper than states for long.
        size = 64
    return size if length is None else min(size, max(length, 1))
