"""The tokenizer: a place in the bytes of one command, literals included in line as they came.

RFC 3501 9. Every step is one regular expression without backtracking.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from rmail_imap.additions import FetchItem
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.mailbox_names import canonical, decode_name
from rmail_imap.parse.gates import GATES, Place
from rmail_kernel.errors import Invalid
from rmail_kernel.storage.ids import ModSeq

_ATOM: Final = re.compile(
    rb"[!#$&'+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~]++"
)  # ASTRING-CHAR, so with "]"
_LIST_MAILBOX: Final = re.compile(rb"[!#$%&'*+,\-./0-9:;<=>?@A-Z\[\]^_`a-z|}~\x80-\xff]++")
_QUOTED: Final = re.compile(rb'"((?:[^"\\\r\n\0]++|\\["\\])*+)"')
_ESCAPE: Final = re.compile(rb"\\(.)")
_LITERAL: Final = re.compile(rb"\{(\d{1,12})\+?\}\r?\n")
_NUMBER: Final = re.compile(rb"\d++")
_WORD: Final = re.compile(rb"[A-Za-z0-9.\-]++")
_FLAG: Final = re.compile(rb"\\?[!#$&'+,\-./0-9:;<=>?@A-Z\[^_`a-z|}~]++")
MAX_NUMBER: Final = 0xFFFFFFFF
_MAX_NUMBER64: Final = (1 << 63) - 1


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the grammar, from the settings."""

    set_ranges: int = 8192
    search_depth: int = 32
    search_keys: int = 1024


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """How the grammar of a session differs from that of others. Each is made once, and equal to
    itself only, so that what was parsed can be found by it.

    Attributes:
        off: capabilities that are switched off.
        items: FETCH items that plugins bring along.
        is_utf8: mailbox names are UTF-8, not modified UTF-7 (RFC 9755 3, RFC 9051 5.1).
        has_charset: SEARCH may name a charset, and SORT and THREAD any; not after UTF8=ACCEPT was
            enabled (RFC 9755 3).
    """

    off: frozenset[str] = frozenset()
    items: Mapping[str, FetchItem] = field(default_factory=dict)
    is_utf8: bool = False
    has_charset: bool = True


_PLAIN: Final = Dialect()


class Cursor:
    """A command under parsing.

    Attributes:
        raw: the whole command, without its final line end.
        at: the next byte.
        dialect: what the session's grammar lacks and adds.
        is_uid: the command came as `UID name`, so its sets hold UIDs.
    """

    __slots__ = ("at", "dialect", "is_uid", "limits", "raw")

    def __init__(
        self,
        raw: bytes,
        at: int = 0,
        *,
        is_uid: bool = False,
        limits: Limits | None = None,
        dialect: Dialect | None = None,
    ) -> None:
        self.raw = raw
        self.at = at
        self.is_uid = is_uid
        self.limits = limits or Limits()
        self.dialect = dialect or _PLAIN

    def check(self, place: Place, word: str = "") -> None:
        """Refuses a word whose capability is switched off."""
        if self.dialect.off and GATES[place].get(word) in self.dialect.off:
            raise BadSyntax(f"{word or place} is not offered")

    def peek(self) -> bytes:
        """The next byte, b"" at the end."""
        return self.raw[self.at : self.at + 1]

    def skip(self, token: bytes) -> bool:
        """Passes over `token` if it comes next."""
        if self.raw.startswith(token, self.at):
            self.at += len(token)
            return True
        return False

    def expect(self, token: bytes) -> None:
        """Passes over `token`, which must come next."""
        if not self.skip(token):
            raise BadSyntax(f"Expected {token.decode()!r} at byte {self.at + 1}")

    def space(self) -> None:
        """SP."""
        if not self.skip(b" "):
            raise BadSyntax("Missing argument" if self.is_at_end else "Expected a space")

    def end(self) -> None:
        """Nothing may follow; one space at the end, which clients send, is forgiven."""
        self.skip(b" ")
        if not self.is_at_end:
            raise BadSyntax("Unexpected argument")

    @property
    def is_at_end(self) -> bool:
        """Whether all bytes were taken."""
        return self.at >= len(self.raw)

    def take(self, pattern: re.Pattern[bytes], what: str) -> bytes:
        """The match of `pattern` here."""
        match = pattern.match(self.raw, self.at)
        if match is None:
            raise BadSyntax(f"Expected {what}")
        self.at = match.end()
        return match[0]

    def word(self) -> str:
        """A keyword of the grammar (letters, digits, dot, hyphen), in upper case."""
        return self.take(_WORD, "a word").decode("ascii").upper()

    def atom(self) -> bytes:
        """atom, also with `]`."""
        return self.take(_ATOM, "an atom")

    def number(self) -> int:
        """number: 32 bits, unsigned."""
        digits = self.take(_NUMBER, "a number")
        if len(digits) > 10 or int(digits) > MAX_NUMBER:
            raise BadSyntax("A number is too large")
        return int(digits)

    def number64(self) -> int:
        """number64: 63 bits, unsigned (RFC 9051 9)."""
        digits = self.take(_NUMBER, "a number")
        if len(digits) > 19 or int(digits) > _MAX_NUMBER64:
            raise BadSyntax("A number is too large")
        return int(digits)

    def modseq(self) -> ModSeq:
        """mod-sequence-valzer: 63 bits, unsigned (RFC 7162 7)."""
        return ModSeq(self.number64())

    def flag(self) -> bytes:
        """flag: an atom, or a backslash and an atom."""
        return self.take(_FLAG, "a flag")

    def string(self) -> bytes:
        """string: quoted or a literal."""
        raw = self._quoted_or_literal()
        if raw is None:
            raise BadSyntax("Expected a string")
        return raw

    def nstring(self) -> bytes | None:
        """nstring: a string, or NIL as None."""
        raw = self._quoted_or_literal()
        if raw is None and self.atom().upper() != b"NIL":
            raise BadSyntax("Expected a string or NIL")
        return raw

    def astring(self) -> bytes:
        """astring: an atom or a string."""
        raw = self._quoted_or_literal()
        return self.take(_ATOM, "a string") if raw is None else raw

    def list_mailbox(self) -> bytes:
        """list-mailbox: a string, or an atom in which wildcards may stand."""
        raw = self._quoted_or_literal()
        return self.take(_LIST_MAILBOX, "a mailbox pattern") if raw is None else raw

    def mailbox(self) -> str:
        """mailbox: its name, decoded, INBOX in upper case (RFC 3501 5.1). Refused: not a name."""
        try:
            return canonical(decode_name(self.astring(), is_utf8=self.dialect.is_utf8))
        except BadSyntax:
            raise
        except Invalid as error:  # the syntax is right, the name is not
            raise Refused(error.safe, b"CANNOT") from error

    def _quoted_or_literal(self) -> bytes | None:
        match = _QUOTED.match(self.raw, self.at)
        if match is not None:
            if not match[1].isascii():
                _check_utf8(match[1])
            self.at = match.end()
            return _ESCAPE.sub(rb"\1", match[1]) if b"\\" in match[1] else match[1]
        match = _LITERAL.match(self.raw, self.at)
        if match is None:
            return None
        end = match.end() + int(match[1])
        raw = self.raw[match.end() : end]
        if end > len(self.raw) or b"\0" in raw:
            raise BadSyntax("A literal is cut short or holds a NUL")  # RFC 3501 9: CHAR8
        self.at = end
        return raw


def _check_utf8(raw: bytes) -> None:
    """RFC 9755 3: quoted strings hold nothing but ASCII and UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        raise BadSyntax("A quoted string is not UTF-8") from error
