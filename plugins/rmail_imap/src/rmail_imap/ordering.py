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


def ordered(keys: Iterable[Any]) -> list[int]:
    """The indices of `keys` in ascending order of the keys; equal ones in the order they have.

    Args:
        keys: whatever compares.
    """
    items = [(key, index) for index, key in enumerate(keys)]
    if len(items) <= AT_ONCE:
        items.sort()
        return [index for _, index in items]
    found: list[int] = []
    for bucket in _buckets(items):
        bucket.sort()
        found += [index for _, index in bucket]
    return found


def ranks(values: Iterable[Any]) -> dict[Any, int]:
    """The place of each value among all, equal ones counted once."""
    unique = list(set(values))
    return {unique[index]: rank for rank, index in enumerate(ordered(unique))}


def _buckets(items: Sequence[tuple[Any, int]]) -> list[list[tuple[Any, int]]]:
    """The items by ranges of their order, about as many in each. No two items are equal, so that
    a value that many have makes no bucket too full.
    """
    count = len(items) // AT_ONCE + 1
    step = max(1, len(items) // (count * _SAMPLES))
    splitters = sorted(items[::step])[_SAMPLES::_SAMPLES]
    buckets: list[list[tuple[Any, int]]] = [[] for _ in range(len(splitters) + 1)]
    for item in items:
        buckets[bisect(splitters, item)].append(item)
    return buckets
