"""Flags (RFC 3501 9: flag, flag-list)."""

from __future__ import annotations

from typing import Final

from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.cursor import Cursor
from rmail_kernel.storage.mail import SYSTEM_FLAGS

_SYSTEM: Final = {name.upper(): name for name in SYSTEM_FLAGS}
_MAX_FLAGS: Final = 100
_MAX_KEYWORD_BYTES: Final = 100


def flag(cursor: Cursor) -> str | None:
    """One flag in its usual case; None for `\\Recent`, which no client sets (RFC 3501 2.3.2).

    Raises:
        Refused: a system flag that does not exist: its syntax is right (RFC 9051 9:
            flag-extension), but it cannot be stored.
    """
    raw = cursor.flag()
    name = raw.decode("ascii")
    if not name.startswith("\\"):
        if len(name) > _MAX_KEYWORD_BYTES:
            raise BadSyntax("A keyword is too long", b"LIMIT")
        return name
    if name.upper() == "\\RECENT":
        return None
    if name.upper() not in _SYSTEM:
        raise Refused("There is no such system flag", b"CANNOT")
    return _SYSTEM[name.upper()]


def flag_list(cursor: Cursor) -> frozenset[str]:
    """flag-list: flags in parentheses."""
    cursor.expect(b"(")
    if cursor.skip(b")"):
        return frozenset()
    flags = _spaced(cursor)
    cursor.expect(b")")
    return flags


def store_flags(cursor: Cursor) -> frozenset[str]:
    """What STORE takes: a list in parentheses, or flags with spaces between."""
    return flag_list(cursor) if cursor.peek() == b"(" else _spaced(cursor)


def keyword(cursor: Cursor) -> str:
    """flag-keyword: an atom."""
    name = cursor.flag().decode("ascii")
    if name.startswith("\\"):
        raise BadSyntax("Not a keyword")
    return name


def _spaced(cursor: Cursor) -> frozenset[str]:
    flags = [flag(cursor)]
    while cursor.skip(b" "):
        flags.append(flag(cursor))
        if len(flags) > _MAX_FLAGS:
            raise BadSyntax("Too many flags", b"LIMIT")
    return frozenset(name for name in flags if name is not None)
