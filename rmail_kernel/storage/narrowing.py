"""Which messages a query can match, by sets of UIDs, before any message is looked at.

Every condition splits the messages into those that match, those that may and all others. What
the driver knows beforehand (an index, columns of a table) enters here. RFC 9051 6.4.4.
"""

from __future__ import annotations

import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import compress
from typing import Final

from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, SYSTEM_FLAGS, MailboxView
from rmail_kernel.storage.search import All, And, HasFlag, Not, Or, SearchNode, UidIn

NOTHING: frozenset[int] = frozenset()

_BITS: Final = tuple(
    [bytes((byte >> bit & 1) == has_it for byte in range(256)) for bit in range(8)]
    for has_it in range(2)
)
"""Whether a byte has a bit not, or has it, by the bit and the byte."""


@dataclass(frozen=True, slots=True)
class Split:
    """UIDs that match a condition, and those that may; no UID is in both."""

    yes: Set[int]
    maybe: Set[int]


Foreknown = Mapping[SearchNode, Split]
"""What a driver knows of conditions that ask for dates, sizes or text. UIDs of messages that are
not in the view do no harm.
"""


def split(query: SearchNode, view: MailboxView, foreknown: Foreknown) -> Split:
    """How `query` splits the messages of `view`; the sets may have UIDs that it does not have."""
    return _Splitting(view, foreknown).split(query)


class _Splitting:
    """One query on its way; the set of all messages is made once, if at all."""

    def __init__(self, view: MailboxView, foreknown: Foreknown) -> None:
        self._view = view
        self._foreknown = foreknown
        self._all_uids: frozenset[int] | None = None

    def split(self, query: SearchNode) -> Split:
        known = self._foreknown.get(query)
        if known is not None:
            return known
        view = self._view
        match query:
            case All():
                return Split(self._every(), NOTHING)
            case And(parts):
                return self._all(parts)
            case Or(parts):
                return _any([self.split(part) for part in parts])
            case Not():
                return self._all((query,))
            case HasFlag(name):
                return Split(set(_by_flag(name, view, True)), NOTHING)
            case UidIn(ranges):
                return Split(_in_ranges(view, ranges), NOTHING)
            case _:
                return Split(NOTHING, self._every())

    def _every(self) -> frozenset[int]:
        if self._all_uids is None:
            self._all_uids = frozenset(self._view.uids[: self._view.total])
        return self._all_uids

    def _all(self, parts: Sequence[SearchNode]) -> Split:
        """What is negated is taken away in the end: its complement may be large."""
        negated = [part for part in parts if isinstance(part, Not) and self._is_open(part)]
        both: tuple[Set[int], Set[int]] | None = None
        for part in parts:
            if part not in negated:
                found = self.split(part)
                both = _both(both, found.yes, _possible(found))
                if not both[1]:
                    return Split(NOTHING, NOTHING)
        yes, possible = both or (self._every(), self._every())
        for part in negated:
            found = self.split(part.part)
            is_same = yes is possible and not found.maybe
            possible = possible - found.yes
            yes = possible if is_same else yes - found.yes - found.maybe
        return Split(yes, possible - yes if len(possible) > len(yes) else NOTHING)

    def _is_open(self, part: SearchNode) -> bool:
        return part not in self._foreknown


def _both(
    before: tuple[Set[int], Set[int]] | None, yes: Set[int], possible: Set[int]
) -> tuple[Set[int], Set[int]]:
    """UIDs that match all parts so far, and those that can; one set if they are the same."""
    if before is None:
        return yes, possible
    is_same = before[0] is before[1] and yes is possible
    yes = before[0] & yes
    return yes, yes if is_same else before[1] & possible


def _any(parts: Sequence[Split]) -> Split:
    yes = _union(part.yes for part in parts)
    maybe = _union(part.maybe for part in parts)
    return Split(yes, maybe - yes if maybe else NOTHING)


def _union(sets: Iterator[Set[int]]) -> Set[int]:
    found: Set[int] = NOTHING
    for one in sets:
        found = found | one if found and one else found or one
    return found


def _possible(part: Split) -> Set[int]:
    if not part.yes:
        return part.maybe
    return part.yes | part.maybe if part.maybe else part.yes


def _in_ranges(view: MailboxView, ranges: tuple[tuple[int, int], ...]) -> set[int]:
    """Each range is looked up once; overlapping ones are merged, for their number has no limit."""
    merged: list[list[int]] = []
    for low, high in sorted(one for one in ranges if one[0] <= one[1]):
        if merged and low <= merged[-1][1] + 1:
            merged[-1][1] = max(merged[-1][1], high)
        else:
            merged.append([low, high])
    found: set[int] = set()
    for low, high in merged:
        start = bisect_left(view.uids, low, 0, view.total)
        found.update(view.uids[start : bisect_right(view.uids, high, start, view.total)])
    return found


def flagged(query: SearchNode, view: MailboxView) -> list[int] | None:
    """The UIDs of `view` that match, ascending, where one flag tells all; None: `split` does."""
    match query:
        case HasFlag(name):
            return [*_by_flag(name, view, True)]
        case Not(HasFlag(name)):
            return [*_by_flag(name, view, False)]
        case _:
            return None


def _by_flag(name: str, view: MailboxView, has_it: bool) -> Iterator[int]:
    """The UIDs of the messages that have a flag, or have it not. Of all words of flags the byte
    with this one is looked at, and none of them becomes a number.
    """
    mask, size = flag_mask(name, view), view.flags.itemsize
    place, bit = divmod(mask.bit_length() - 1, 8)
    uids = view.uids[: view.total]
    if not 0 <= place < size:  # no message can have it
        return iter(() if has_it else uids)
    at = place if sys.byteorder == "little" else size - 1 - place
    return compress(uids, view.flags.tobytes()[at::size].translate(_BITS[has_it][bit]))


def flag_mask(name: str, view: MailboxView) -> int:
    """The bit of a flag, 0 if no message of `view` can have it; names compare without case."""
    folded = name.lower()
    for known, bit in SYSTEM_FLAGS.items():
        if known.lower() == folded:
            return int(bit)  # a Flag computes in Python
    for index, keyword in enumerate(view.keywords):
        if keyword.lower() == folded:
            return 1 << (FIRST_KEYWORD_BIT + index)
    return 0
