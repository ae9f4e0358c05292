"""Sets of message numbers (RFC 3501 9, sequence-set; RFC 5182 for `$`)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import MAX_NUMBER, Cursor

_SET: Final = re.compile(rb"[0-9:,*]++")
_ONE: Final = re.compile(rb"[1-9]\d{0,9}(?= )")
_RANGE: Final = re.compile(rb"(\d{1,10}|\*)(?::(\d{1,10}|\*))?\Z")
STAR: Final = 0
"""The `*` of a set: the largest number in use."""


@dataclass(frozen=True, slots=True)
class NumberSet:
    """A set as it was written: pairs of numbers in any order, STAR for `*`.

    `is_uid`: they are UIDs, otherwise sequence numbers. `is_saved`: it has `$`, what the last
    SEARCH saved (RFC 5182 2.1), after the ranges, if there are any.
    """

    ranges: tuple[tuple[int, int], ...]
    is_uid: bool = False
    is_saved: bool = False


def number_set(cursor: Cursor, *, is_uid: bool | None = None) -> NumberSet:
    """sequence-set; UIDs if the command is a UID command, or as `is_uid` says."""
    of_uids = cursor.is_uid if is_uid is None else is_uid
    if cursor.skip(b"$"):
        cursor.check("set", "$")
        return NumberSet((), of_uids, is_saved=True)
    one = _ONE.match(cursor.raw, cursor.at)
    if one is not None:
        cursor.at = one.end()
        number = _number(one[0])
        return NumberSet(((number, number),), of_uids)
    raw = cursor.take(_SET, "a set of message numbers")
    is_saved = raw.endswith(b",") and cursor.skip(b"$")
    if is_saved:  # RFC 9051 9: sequence-set may end so
        cursor.check("set", "$")
        raw = raw[:-1]
    if raw.count(b",") >= cursor.limits.set_ranges:
        raise BadSyntax("A set has too many ranges", b"LIMIT")
    ranges = tuple(map(_range, raw.split(b",")))
    return NumberSet(ranges, of_uids, is_saved=is_saved)


def known_set(cursor: Cursor) -> tuple[tuple[int, int], ...]:
    """sequence-set without `*` (RFC 7162 7: known-uids, known-sequence-set)."""
    found = number_set(cursor)
    if found.is_saved or any(STAR in pair for pair in found.ranges):
        raise BadSyntax("Only numbers may stand here")
    return found.ranges


def _range(raw: bytes) -> tuple[int, int]:
    match = _RANGE.match(raw)
    if match is None:
        raise BadSyntax("Not a set of message numbers")
    first = _number(match[1])
    return first, first if match[2] is None else _number(match[2])


def _number(raw: bytes) -> int:
    if raw == b"*":
        return STAR
    number = int(raw)
    if not 1 <= number <= MAX_NUMBER:  # nz-number
        raise BadSyntax("A message number is out of range")
    return number
