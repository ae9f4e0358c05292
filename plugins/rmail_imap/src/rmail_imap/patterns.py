"""Mailbox patterns of LIST: `*` stands for anything, `%` for anything without the separator.

RFC 3501 6.3.8. Compared in wire form, so that a wildcard may stand anywhere; in linear time,
because the pattern is a stranger's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Final

import re2

from rmail_imap.errors import BadSyntax
from rmail_imap.mailbox_names import SEPARATOR, encode_name
from rmail_kernel.turns import Pace

MAX_PATTERN_BYTES: Final = 1024
_WILDCARDS: Final = re.compile(rb"[*%]+")
_HEAD: Final = re.compile(rb"\A[^/*]+")


class Pattern:
    """A pattern in its wire form: modified UTF-7, or UTF-8 where the client enabled it.

    Raises:
        BadSyntax: longer than MAX_PATTERN_BYTES.
    """

    def __init__(self, raw: bytes, *, is_utf8: bool = False) -> None:
        if len(raw) > MAX_PATTERN_BYTES:
            raise BadSyntax("The pattern is too long", b"LIMIT")
        self._raw = raw
        self._is_utf8 = is_utf8
        self._exact = _compile(raw, is_utf8=is_utf8)

    def matches(self, name: str) -> bool:
        """Whether a mailbox name matches; INBOX does in any case, also as the first level of a name
        (RFC 3501 5.1).
        """
        wire = name if self._is_utf8 else encode_name(name).decode("ascii")
        if self._exact.fullmatch(wire):
            return True
        if name == "INBOX":
            return bool(self._any_case.fullmatch(wire))
        return name.startswith("INBOX/") and bool(self._any_head.fullmatch(wire))

    @cached_property
    def _any_case(self) -> re2._Regexp[str]:
        return _compile(self._raw.upper(), is_utf8=self._is_utf8)

    @cached_property
    def _any_head(self) -> re2._Regexp[str]:
        """With what stands for the first level in capitals."""
        return _compile(_HEAD.sub(_upper, self._raw), is_utf8=self._is_utf8)


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


def _compile(raw: bytes, *, is_utf8: bool) -> re2._Regexp[str]:
    charset = "utf-8" if is_utf8 else "latin-1"
    pieces, at = [], 0
    for match in _WILDCARDS.finditer(raw):
        pieces.append(re2.escape(raw[at : match.start()].decode(charset, "replace")))
        pieces.append(".*" if b"*" in match[0] else f"[^{SEPARATOR}]*")
        at = match.end()
    pieces.append(re2.escape(raw[at:].decode(charset, "replace")))
    return re2.compile("(?s)" + "".join(pieces))
