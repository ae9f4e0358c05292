"""Mailbox patterns of LIST: `*` stands for anything, `%` for anything without the separator.

RFC 9051 6.3.9. Compared in wire form, so that a wildcard may stand anywhere; in linear time,
because the pattern is a stranger's.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import re2

from rmail_imap.mailbox_names import SEPARATOR, decode_name, encode_name
from rmail_kernel.errors import Invalid
from rmail_kernel.turns import Pace

MAX_PATTERN_BYTES: Final = 1024
_PIECE: Final = re.compile(rb"[^*%]+")
_WILDCARDS: Final = re.compile("[*%]+")
_HEAD: Final = re.compile(rb"\A[^/*]+")


class Pattern:
    """A pattern in its wire form: modified UTF-7, or UTF-8 where the client enabled it, or sent it
    all the same. One of more than MAX_PATTERN_BYTES matches nothing (RFC 9051 6.3.9).
    """

    def __init__(self, raw: bytes, *, is_utf8: bool = False) -> None:
        self._is_void = len(raw) > MAX_PATTERN_BYTES
        self._is_utf8 = is_utf8 or not raw.isascii()
        self._raw = b"" if self._is_void else _normal(raw, is_utf8=self._is_utf8)
        self._exact = _compile(self._raw)

    def matches(self, name: str) -> bool:
        """Whether a mailbox name matches; INBOX does in any case, also as the first level of a name
        (RFC 3501 5.1).
        """
        if self._is_void:
            return False
        wire = name if self._is_utf8 else encode_name(name).decode("ascii")
        if self._exact.fullmatch(wire):
            return True
        if name == "INBOX":
            return bool(self._any_case.fullmatch(wire))
        return name.startswith("INBOX/") and bool(self._any_head.fullmatch(wire))

    @cached_property
    def _any_case(self) -> re2._Regexp[str]:
        return _compile(self._raw.upper())

    @cached_property
    def _any_head(self) -> re2._Regexp[str]:
        """With what stands for the first level in capitals."""
        return _compile(_HEAD.sub(_upper, self._raw))


async def matching(names: Iterable[str], patterns: Sequence[Pattern]) -> list[str]:
    """The names that a pattern matches, others running in between."""
    found: list[str] = []
    pace = Pace()
    for name in names:
        await pace.breathe()
        if any(one.matches(name) for one in patterns):
            found.append(name)
    return found


def _upper(match: re.Match[bytes]) -> bytes:
    return match[0].upper()


def _normal(raw: bytes, *, is_utf8: bool) -> bytes:
    """The pattern in NFC, as names are: one that is not must match them all the same (RFC 9051
    5.1).
    """
    if is_utf8:
        return unicodedata.normalize("NFC", raw.decode("utf-8", "replace")).encode()
    return _PIECE.sub(_normal_piece, raw)


def _normal_piece(match: re.Match[bytes]) -> bytes:
    try:
        return encode_name(unicodedata.normalize("NFC", decode_name(match[0])))
    except Invalid:  # a wildcard may stand anywhere, also within what is encoded
        return match[0]


def _compile(raw: bytes) -> re2._Regexp[str]:
    text = raw.decode()
    pieces, at = [], 0
    for match in _WILDCARDS.finditer(text):
        pieces.append(re2.escape(text[at : match.start()]))
        pieces.append(".*" if "*" in match[0] else f"[^{SEPARATOR}]*")
        at = match.end()
    pieces.append(re2.escape(text[at:]))
    return re2.compile("(?s)" + "".join(pieces))
