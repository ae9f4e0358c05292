"""Messages that a client announces in APPEND and REPLACE: what stands before each literal.

RFC 3501 6.3.11, RFC 3502 (several messages), RFC 3516 4.4 and RFC 4466 (literal8), RFC 6855.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.dates import date_time
from rmail_imap.parse.flags import flag_list

_LITERAL: Final = re.compile(rb"(~?)\{(\d{1,18})(\+?)\}\Z")


@dataclass(frozen=True, slots=True)
class Announced:
    """[flags] [date-time] literal: everything before a message itself.

    Attributes:
        is_waiting: the client waits for a continuation request before it sends the message.
        is_binary: the literal may hold NUL (literal8).
        is_utf8: the literal stands in `UTF8 (...)`, so that a parenthesis follows it.
    """

    flags: frozenset[str]
    internal_date: datetime | None
    size_bytes: int
    is_waiting: bool
    is_binary: bool = False
    is_utf8: bool = False


@dataclass(frozen=True, slots=True)
class AppendArgs:
    """APPEND mailbox, and the first message."""

    mailbox: str
    message: Announced


def append_args(cursor: Cursor) -> AppendArgs:
    """The arguments of APPEND up to the announcement of its first message."""
    cursor.space()
    return AppendArgs(cursor.mailbox(), announced(cursor))


def announced(cursor: Cursor) -> Announced:
    """append-message up to the bytes of its literal, with the space before it (RFC 4466 2.3)."""
    cursor.space()
    flags: frozenset[str] = frozenset()
    if cursor.peek() == b"(":
        flags = flag_list(cursor)
        cursor.space()
    at = None
    if cursor.peek() == b'"':
        at = date_time(cursor)
        cursor.space()
    is_utf8 = cursor.raw[cursor.at : cursor.at + 6].upper() == b"UTF8 ("
    if is_utf8:
        cursor.check("APPEND", "UTF8")
        cursor.at += 6
    literal = _LITERAL.match(cursor.raw, cursor.at)
    if literal is None:
        raise BadSyntax("Expected a literal")
    if literal[1] and not is_utf8:  # which has its own (RFC 6855 4)
        cursor.check("APPEND", "~")
    cursor.at = literal.end()
    return Announced(flags, at, int(literal[2]), not literal[3], bool(literal[1]), is_utf8)
