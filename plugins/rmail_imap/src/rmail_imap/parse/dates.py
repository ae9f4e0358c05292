"""Dates (RFC 3501 9: date, date-time)."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor

MONTHS: Final = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH_NUMBERS: Final = {name.upper().encode(): index for index, name in enumerate(MONTHS, 1)}
_DATE: Final = re.compile(rb"(\d{1,2})-([A-Za-z]{3})-(\d{4})\Z")
_DATE_TIME: Final = re.compile(
    rb"([ \d]\d)-([A-Za-z]{3})-(\d{4}) (\d\d):(\d\d):(\d\d) ([+-])(\d\d)(\d\d)\Z"
)


def search_date(cursor: Cursor) -> date:
    """date: `1-Feb-1994`, quoted or not."""
    match = _DATE.match(cursor.astring())
    if match is None:
        raise BadSyntax("Not a date")
    try:
        return date(int(match[3]), _month(match[2]), int(match[1]))
    except ValueError as error:
        raise BadSyntax("Not a date") from error


def date_time(cursor: Cursor) -> datetime:
    """date-time: `"17-Jul-1996 02:44:25 -0700"`, aware."""
    match = _DATE_TIME.match(cursor.string())
    if match is None:
        raise BadSyntax("Not a date and time")
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    offset = timedelta(hours=int(match[8]), minutes=int(match[9]))
    try:
        zone = timezone(-offset if match[7] == b"-" else offset)
        at = datetime(year, _month(match[2]), day, hour, minute, min(second, 59), tzinfo=zone)
        at.astimezone(UTC)  # what is kept: UTC has fewer moments than the ends of the calendar
        return at
    except (ValueError, OverflowError) as error:
        raise BadSyntax("Not a date and time") from error


def _month(raw: bytes) -> int:
    number = _MONTH_NUMBERS.get(raw.upper())
    if number is None:
        raise BadSyntax("Not a month")
    return number
