"""What SEARCH and SORT are to return (RFC 4731 3.1, RFC 5182 2.1, RFC 6203 4, RFC 9394 3.1)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import MAX_NUMBER, Cursor

T = TypeVar("T")
OPTIONS: Final = frozenset({"MIN", "MAX", "ALL", "COUNT", "SAVE", "PARTIAL", "RELEVANCY"})
_PARTIAL: Final = re.compile(rb"(-?)(\d{1,10}):(-?)(\d{1,10})(?![\d:,*])")


@dataclass(frozen=True, slots=True)
class Partial:
    """Places among results, counted from 1: from the first, or from the last on.

    `raw`: as the client wrote it, which the response repeats (RFC 9394 3.1).
    """

    first: int
    last: int
    is_from_end: bool
    raw: bytes

    def cut(self, results: Sequence[T]) -> Sequence[T]:
        """Those of the results that are at these places, in their order."""
        start, stop = self.bounds(len(results))
        return results[start:stop]

    def bounds(self, count: int) -> tuple[int, int]:
        """First index and the one after the last, of so many results."""
        first, last = min(self.first, count + 1), min(self.last, count)
        return (count - last, count - first + 1) if self.is_from_end else (first - 1, last)


@dataclass(frozen=True, slots=True)
class Returns:
    """The options of RETURN, in upper case; `partial` is there if PARTIAL is one of them."""

    options: frozenset[str]
    partial: Partial | None = None


def returns(cursor: Cursor) -> Returns | None:
    """RETURN and its options; an empty list stands for ALL (RFC 4731 3.1). None: no RETURN."""
    if cursor.raw[cursor.at : cursor.at + 8].upper() != b"RETURN (":
        return None
    cursor.check("RETURN")
    cursor.at += 8
    names: list[str] = []
    place = None
    while not cursor.skip(b")"):
        if names:
            cursor.space()
        names.append(cursor.word())
        if names[-1] not in OPTIONS:
            raise BadSyntax("Unknown result option")
        cursor.check("RETURN", names[-1])
        if names[-1] == "PARTIAL":
            cursor.space()
            place = partial(cursor)
    cursor.space()
    # RFC 9394 3.1: one PARTIAL, one ALL, or none of both
    if names.count("PARTIAL") + ("ALL" in names) > 1:
        raise BadSyntax("PARTIAL goes neither with another nor with ALL")
    return Returns(frozenset(names or {"ALL"}), place)


def partial(cursor: Cursor) -> Partial:
    """partial-range (RFC 9394 4)."""
    raw = cursor.take(_PARTIAL, "a range of results")
    match = _PARTIAL.fullmatch(raw)
    assert match is not None
    if match[1] != match[3]:
        raise BadSyntax("A range counts from one end")
    low, high = sorted((int(match[2]), int(match[4])))
    if not 1 <= low <= high <= MAX_NUMBER:
        raise BadSyntax("A number is out of range")
    return Partial(low, high, bool(match[1]), raw)
