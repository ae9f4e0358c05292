"""Which messages a query can match, by sets of UIDs, before any message is looked at.

Every condition splits the messages into those that match, those that may and all others. What
the driver knows beforehand (an index, columns of a table) enters here. RFC 9051 6.4.4.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass

from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, SYSTEM_FLAGS, MailboxView
from rmail_kernel.storage.search import All, And, HasFlag, Not, Or, SearchNode, UidIn

NOTHING: frozenset[int] = frozenset()


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
    """How `query` splits the messages of `view`."""
    return _split(query, frozenset(view.uids[: view.total]), view, foreknown)


def _split(
    query: SearchNode, every: frozenset[int], view: MailboxView, foreknown: Foreknown
) -> Split:
    known = foreknown.get(query)
    if known is not None:
        return Split(known.yes & every, known.maybe & every)
    match query:
        case All():
            return Split(every, NOTHING)
        case And(parts):
            return _all(every, (_split(part, every, view, foreknown) for part in parts))
        case Or(parts):
            found = _all(
                every, (_not(every, _split(part, every, view, foreknown)) for part in parts)
            )
            return _not(every, found)
        case Not(part):
            return _not(every, _split(part, every, view, foreknown))
        case HasFlag(name):
            mask = flag_mask(name, view)
            rows = zip(view.uids[: view.total], view.flags[: view.total], strict=True)
            return Split({uid for uid, flags in rows if flags & mask}, NOTHING)
        case UidIn(ranges):
            return Split(_in_ranges(view, ranges), NOTHING)
        case _:
            return Split(NOTHING, every)


def _not(every: frozenset[int], part: Split) -> Split:
    return Split((every - part.yes) - part.maybe, part.maybe)


def _all(every: frozenset[int], parts: Iterator[Split]) -> Split:
    yes: Set[int] = every
    possible: Set[int] = every
    for part in parts:
        yes = yes & part.yes
        possible = possible & (part.yes | part.maybe)
        if not possible:
            break
    return Split(yes, possible - yes)


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


def flag_mask(name: str, view: MailboxView) -> int:
    """The bit of a flag, 0 if no message of `view` can have it; names compare without case."""
    folded = name.lower()
    for known, bit in SYSTEM_FLAGS.items():
        if known.lower() == folded:
            return bit
    for index, keyword in enumerate(view.keywords):
        if keyword.lower() == folded:
            return 1 << (FIRST_KEYWORD_BIT + index)
    return 0
