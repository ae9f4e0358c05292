"""Sorting many things in a thread while others run: no step holds the interpreter for more than a
few milliseconds, as one `sort` of all of them would.
"""

from __future__ import annotations

from bisect import bisect
from collections.abc import Iterable, Sequence
from typing import Any, Final

AT_ONCE: Final = 2000
"""Items that are sorted, or handed on, in one go."""
_SAMPLES: Final = 8


def ordered(columns: Sequence[tuple[Sequence[Any], bool]]) -> list[int]:
    """The indices of items in order: by the first column, among equal ones by the next, in the end
    as they are.

    Args:
        columns: their values, all numbers or all texts, and whether the order is descending; at
            least one.
    """
    count = len(columns[0][0])
    # One number says all: numbers compare faster than tuples, and than texts.
    packed = [0] * count
    for values, is_descending in columns:
        places, width = _places(values)
        if is_descending:
            places = [width - 1 - place for place in places]
        packed = [one * width + place for one, place in zip(packed, places, strict=True)]
    packed = [one * count + index for index, one in enumerate(packed)]
    found: list[int] = []
    for bucket in _buckets(packed):
        bucket.sort()
        found += [one % count for one in bucket]
    return found


def _places(values: Sequence[Any]) -> tuple[Sequence[int], int]:
    """Numbers from 0 on that are in the order of the values, and one above the last of them."""
    if not values:
        return (), 1
    if isinstance(values[0], int):
        low = min(values)
        return [value - low for value in values], max(values) - low + 1
    unique: set[Any] = set()
    for start in range(0, len(values), AT_ONCE):
        unique.update(values[start : start + AT_ONCE])
    ranks: dict[Any, int] = {}
    for bucket in _buckets(list(unique)):
        bucket.sort()
        ranks.update(zip(bucket, range(len(ranks), len(unique)), strict=False))
    return [ranks[value] for value in values], len(unique)


def _buckets(items: list[Any]) -> Iterable[list[Any]]:
    """The items, of which no two are equal, by ranges of their order, about as many in each."""
    if len(items) <= AT_ONCE:
        return [items]
    count = len(items) // AT_ONCE + 1
    step = max(1, len(items) // (count * _SAMPLES))
    splitters = sorted(items[::step])[_SAMPLES::_SAMPLES]
    buckets: list[list[Any]] = [[] for _ in range(len(splitters) + 1)]
    for item in items:
        buckets[bisect(splitters, item)].append(item)
    return buckets
