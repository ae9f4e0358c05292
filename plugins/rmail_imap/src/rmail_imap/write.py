"""The typed writer: values in their wire form (RFC 3501 9). It knows no session and does no I/O."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final

from rmail_imap.mailbox_names import encode_name
from rmail_imap.parse.dates import MONTHS
from rmail_imap.ranges import runs

_ATOM: Final = re.compile(rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]+\Z")
_QUOTABLE: Final = re.compile(rb"[\x01-\x09\x0b\x0c\x0e-\x7f]*\Z")
_UNQUOTABLE: Final = re.compile(rb"[\0\r\n]")
_SPECIAL: Final = re.compile(rb'[\\"]')
_RAW_MONTHS: Final = tuple(month.encode() for month in MONTHS)


def string(raw: bytes) -> bytes:
    """A quoted string, or a literal where that cannot hold it."""
    if len(raw) <= 1024 and _QUOTABLE.match(raw):
        return b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", raw)
    return b"{%d}\r\n%b" % (len(raw), raw)


def astring(raw: bytes) -> bytes:
    """An atom where it can be one, otherwise a string."""
    return raw if _ATOM.match(raw) and raw.upper() != b"NIL" else string(raw)


def mailbox(name: str, *, is_utf8: bool = False) -> bytes:
    """A mailbox name, quoted as most servers do; for clients that enabled it in UTF-8."""
    if not is_utf8:
        return string(encode_name(name))
    raw = name.encode("utf-8", "replace")
    if not name.isprintable() and _UNQUOTABLE.search(raw):
        raw = raw.replace(b"\0", b"\xef\xbf\xbd")  # which no string can hold
        return b"{%d}\r\n%b" % (len(raw), raw)
    return b'"%b"' % _SPECIAL.sub(rb"\\\g<0>", raw)


def list_line(
    kind: bytes, attributes: Iterable[str], name: str, more: bytes = b"", *, is_utf8: bool = False
) -> bytes:
    """A LIST or LSUB response (RFC 3501 7.2.2)."""
    raw_name = mailbox(name, is_utf8=is_utf8)
    return b'* %b %b "/" %b%b\r\n' % (kind, flags(attributes), raw_name, more)


def old_name(name: str, *, is_utf8: bool) -> bytes:
    """What a LIST response adds when the client used another name (RFC 9051 6.3.9.7)."""
    return b' ("OLDNAME" (%b))' % mailbox(name, is_utf8=is_utf8)


def flags(names: Iterable[str]) -> bytes:
    """A flag list with its parentheses."""
    return b"(%b)" % " ".join(names).encode("ascii", "replace")


def date_time(moment: datetime) -> bytes:
    """date-time in UTC."""
    at = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    return b'"%02d-%b-%04d %02d:%02d:%02d +0000"' % (
        at.day, _RAW_MONTHS[at.month - 1], at.year, at.hour, at.minute, at.second
    )  # fmt: skip


def number_set(numbers: Iterable[int]) -> bytes:
    """sequence-set of numbers in the order given, runs that count up as ranges."""
    return ranges(runs(numbers))


def ranges(pairs: Iterable[tuple[int, int]]) -> bytes:
    """sequence-set of ranges."""
    return b",".join([_range(first, last) for first, last in pairs])


def text(message: str) -> bytes:
    """Human-readable text of a response: one line, ASCII (RFC 3501 9, TEXT-CHAR)."""
    return " ".join(message.split()).encode("ascii", "replace")


def status(kind: bytes, message: str, code: bytes = b"") -> bytes:
    """resp-text after OK, NO, BAD, BYE: without tag and line end."""
    return b"%b [%b] %b" % (kind, code, text(message)) if code else kind + b" " + text(message)


def greeting(code: bytes) -> bytes:
    """The first line of the server (RFC 3501 7.1.1)."""
    return status(b"* OK", "rmail is ready", code) + b"\r\n"


def _range(first: int, last: int) -> bytes:
    return b"%d" % first if first == last else b"%d:%d" % (first, last)
