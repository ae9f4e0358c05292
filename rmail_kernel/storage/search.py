"""What can be asked of a mailbox: a tree of conditions (RFC 9051 6.4.4), without any protocol's
syntax.

Drivers evaluate it; `matches` in `evaluate.py` is the reference. Text compares as substrings,
case-folded, on decoded text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Literal

from rmail_kernel.storage.ids import ModSeq


@dataclass(frozen=True, slots=True)
class All:
    """Every message."""


@dataclass(frozen=True, slots=True)
class And:
    """All of them hold."""

    parts: tuple[SearchNode, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """At least one holds."""

    parts: tuple[SearchNode, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """It does not hold."""

    part: SearchNode


@dataclass(frozen=True, slots=True)
class HasFlag:
    """A system flag ("\\Seen") or keyword is set; names compare without case."""

    name: str


@dataclass(frozen=True, slots=True)
class UidIn:
    """The UID lies in one of these inclusive ranges (sequence numbers are resolved by the asking
    protocol).
    """

    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class Header:
    """A header field contains `text` (decoded, case-folded); '' asks only for the field."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Body:
    """The decoded text of a body part contains `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Header or body contains `text`."""

    text: str


@dataclass(frozen=True, slots=True)
class Dated:
    """A date compares with `day`, time and zone disregarded. "internal": INTERNALDATE, "sent": the
    Date: field.
    """

    which: Literal["internal", "sent", "saved"]
    op: Literal["before", "on", "since"]
    day: date


@dataclass(frozen=True, slots=True)
class Arrived:
    """The INTERNALDATE is `at` or earlier ("until"), or `at` or later ("from"), to the second
    (RFC 5032 2). `at` is aware.
    """

    op: Literal["until", "from"]
    at: datetime


@dataclass(frozen=True, slots=True)
class Sized:
    """The size in bytes is larger or smaller than `size_bytes`."""

    op: Literal["larger", "smaller"]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ModifiedSince:
    """The MODSEQ is at least `modseq` (RFC 7162 3.1.5)."""

    modseq: ModSeq


@dataclass(frozen=True, slots=True)
class HasEmailId:
    """The EMAILID is this one, compared with case (RFC 8474 6)."""

    email_id: str


@dataclass(frozen=True, slots=True)
class HasThreadId:
    """The THREADID is this one, compared with case (RFC 8474 6)."""

    thread_id: str


SearchNode = (
    All
    | And
    | Or
    | Not
    | HasFlag
    | UidIn
    | Header
    | Body
    | Text
    | Dated
    | Arrived
    | Sized
    | ModifiedSince
    | HasEmailId
    | HasThreadId
)


def conditions_of(query: SearchNode) -> Iterator[SearchNode]:
    """What a query is made of, without and, or, not; in order, and as often as it stands there."""
    match query:
        case And(parts) | Or(parts):
            for part in parts:
                yield from conditions_of(part)
        case Not(part):
            yield from conditions_of(part)
        case _:
            yield query
