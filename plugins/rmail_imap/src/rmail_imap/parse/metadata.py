"""What GETMETADATA and SETMETADATA ask for (RFC 5464 5), and METADATA in LIST (RFC 9590)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import BadSyntax
from rmail_imap.parse.cursor import Cursor

_MAX_ENTRIES: Final = 200
_ENTRY: Final = re.compile(r"(?:/[ -$&-)+-.0-~]+)+\Z")  # no "%", no "*"
_VENDOR: Final = re.compile(r"/(?:private|shared)/vendor(?:/|\Z)")
_INFINITY: Final = 1 << 30
_DEPTHS: Final = {b"0": 0, b"1": 1, b"INFINITY": _INFINITY}
_LITERAL8: Final = re.compile(rb"~\{(\d{1,12})\+?\}\r?\n")


@dataclass(frozen=True, slots=True)
class GetMetadataArgs:
    """GETMETADATA [(options)] mailbox entries.

    Attributes:
        mailbox: None for the annotations of the account, which RFC 5464 calls the server's.
        entries: in lower case, in the order asked for.
        depth: how many levels below an entry are told, too.
        max_bytes: longest value that is told, None: any.
    """

    mailbox: str | None
    entries: tuple[str, ...]
    depth: int = 0
    max_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class SetMetadataArgs:
    """SETMETADATA mailbox (entry value ...); None removes an entry."""

    mailbox: str | None
    changes: dict[str, bytes | None]


def get_metadata_args(cursor: Cursor) -> GetMetadataArgs:
    """The arguments of GETMETADATA. The options may stand on either side of the mailbox: the
    grammar has them before it, all examples behind.
    """
    options: dict[str, int] = {}
    cursor.space()
    if cursor.peek() == b"(":
        options = _options(cursor)
        cursor.space()
    mailbox = _mailbox(cursor)
    cursor.space()
    if not options and _is_option(cursor):
        options = _options(cursor)
        cursor.space()
    entries = _entries(cursor)
    cursor.end()
    return GetMetadataArgs(mailbox, entries, options.get("DEPTH", 0), options.get("MAXSIZE"))


def set_metadata_args(cursor: Cursor) -> SetMetadataArgs:
    """The arguments of SETMETADATA."""
    cursor.space()
    mailbox = _mailbox(cursor)
    cursor.space()
    cursor.expect(b"(")
    changes: dict[str, bytes | None] = {}
    while True:
        name = _entry(cursor)
        # RFC 5464 3.2: two parts at least, and below a vendor four
        if name.count("/") < (4 if _VENDOR.match(name) else 2):
            raise BadSyntax("Not the whole name of an entry")
        cursor.space()
        changes[name] = _value(cursor)
        _check_count(len(changes))
        if not cursor.skip(b" "):
            break
    cursor.expect(b")")
    cursor.end()
    return SetMetadataArgs(mailbox, changes)


def entry_list(cursor: Cursor) -> tuple[str, ...]:
    """Entries in parentheses, each once."""
    cursor.expect(b"(")
    found = _several(cursor)
    cursor.expect(b")")
    return found


def _entries(cursor: Cursor) -> tuple[str, ...]:
    """One entry or a list; also several without parentheses, as examples of RFC 5464 4.4.1 have
    them.
    """
    return entry_list(cursor) if cursor.peek() == b"(" else _several(cursor)


def _several(cursor: Cursor) -> tuple[str, ...]:
    found = {_entry(cursor): None}
    while cursor.skip(b" "):
        found[_entry(cursor)] = None
        _check_count(len(found))
    return tuple(found)


def _check_count(count: int) -> None:
    if count > _MAX_ENTRIES:
        raise BadSyntax("Too many entries", b"LIMIT")


def _mailbox(cursor: Cursor) -> str | None:
    if cursor.skip(b'""'):
        return None
    return cursor.mailbox()


def _entry(cursor: Cursor) -> str:
    """entry: names compare without case (RFC 5464 3.1)."""
    name = cursor.astring().decode("latin-1").lower()
    if not _ENTRY.match(name) or name.split("/")[1] not in ("private", "shared"):
        raise BadSyntax("Not the name of an entry")
    return name


def _value(cursor: Cursor) -> bytes | None:
    """value: nstring, or a literal8, in which any byte may be (RFC 5464 5)."""
    match = _LITERAL8.match(cursor.raw, cursor.at)
    if match is None:
        return cursor.nstring()
    end = match.end() + int(match[1])
    if end > len(cursor.raw):
        raise BadSyntax("A literal is cut short")
    cursor.at = end
    return cursor.raw[match.end() : end]


def _is_option(cursor: Cursor) -> bool:
    start = cursor.raw[cursor.at : cursor.at + 9].upper()
    return start.startswith((b"(DEPTH ", b"(MAXSIZE "))


def _options(cursor: Cursor) -> dict[str, int]:
    found: dict[str, int] = {}
    cursor.expect(b"(")
    while True:
        name = cursor.word()
        cursor.space()
        if name in found:
            raise BadSyntax("An option is there twice")
        if name == "MAXSIZE":
            found[name] = cursor.number()
        elif name == "DEPTH":
            depth = _DEPTHS.get(cursor.atom().upper())
            if depth is None:
                raise BadSyntax("Unknown depth")
            found[name] = depth
        else:
            raise BadSyntax("Unknown option of GETMETADATA")
        if not cursor.skip(b" "):
            break
    cursor.expect(b")")
    return found
