"""Sets of numbers as ranges: pairs of first and last, ascending and apart.

What a client names may hold four billion numbers and costs no more than its ranges.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence

Ranges = Sequence[tuple[int, int]]


def runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Numbers in the order given as ranges, where they count up."""
    first = last = -1
    for number in numbers:
        if number == last + 1 and first >= 0:
            last = number
            continue
        if first >= 0:
            yield first, last
        first = last = number
    if first >= 0:
        yield first, last


def merged(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same numbers, ascending and each once."""
    found: list[tuple[int, int]] = []
    for low, high in sorted(tuple(sorted(pair)) for pair in ranges):
        if found and low <= found[-1][1] + 1:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


def clipped(ranges: Ranges, low: int, high: int) -> list[tuple[int, int]]:
    """The part of the ranges between `low` and `high`, both included."""
    cut = ((max(first, low), min(last, high)) for first, last in ranges)
    return [pair for pair in cut if pair[0] <= pair[1]]


def missing(ranges: Ranges, uids: Sequence[int], total: int) -> Iterator[tuple[int, int]]:
    """What of the ranges is not among the first `total` of the ascending `uids`."""
    for first, last in ranges:
        at = first
        for index in range(bisect_left(uids, first, 0, total), total):
            uid = uids[index]
            if uid > last:
                break
            if uid > at:
                yield at, uid - 1
            at = uid + 1
        if at <= last:
            yield at, last


def within(numbers: Sequence[int], ranges: Ranges) -> Iterator[int]:
    """Those of the ascending numbers that lie in the ranges."""
    for first, last in ranges:
        for index in range(bisect_left(numbers, first), len(numbers)):
            if numbers[index] > last:
                break
            yield numbers[index]


def each(ranges: Ranges) -> Iterator[int]:
    """The numbers one by one."""
    for first, last in ranges:
        yield from range(first, last + 1)
