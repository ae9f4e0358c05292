"""Lines of a message, checked as they pass: no bare CR or LF, none of them endless.

RFC 5321 2.3.8 (others may take a bare CR or LF for a line end: SMTP smuggling), 4.5.3.1.6. Nothing
is repaired. NUL passes: RFC 5322 4.1 (obs-body) has receivers take it.
"""

from __future__ import annotations

from enum import Enum

MAX_LINE_BYTES = 1 << 20  # RFC 5321 4.5.3.1.6 asks for 1,000; real mail has much more


class Flaw(Enum):
    """Why a message cannot be taken; it is read to its end all the same."""

    BARE_NEWLINE = "a bare CR or LF"
    LINE_TOO_LONG = "a line that is too long"
    TOO_LARGE = "too large"
    ENDLESS = "too large, and its end was not waited for"
    NO_ROOM = "it cannot be kept for now"


def has_bare_newline(raw: bytes) -> bool:
    """Whether a CR or an LF stands alone."""
    line_ends = raw.count(b"\r\n")
    return raw.count(b"\r") != line_ends or raw.count(b"\n") != line_ends


class LineCheck:
    """Looks at a message piece by piece, wherever it was cut."""

    def __init__(self) -> None:
        self._line_bytes = 0
        self._has_cr = False

    def look(self, piece: bytes) -> Flaw | None:
        """What is wrong with the next piece."""
        if self._has_cr:
            piece = b"\r" + piece
        self._has_cr = piece.endswith(b"\r")
        if self._has_cr:
            piece = piece[:-1]
        if has_bare_newline(piece):
            return Flaw.BARE_NEWLINE
        first = piece.find(b"\r\n")
        if first >= 0:
            longest = self._line_bytes + first
            self._line_bytes = len(piece) - piece.rfind(b"\r\n") - 2
        else:
            longest = self._line_bytes = self._line_bytes + len(piece)
        # A line within one piece is shorter than a piece, so only the outer ones need a look.
        return Flaw.LINE_TOO_LONG if longest > MAX_LINE_BYTES else None

    def end(self) -> Flaw | None:
        """What is wrong with the end of the message."""
        return Flaw.BARE_NEWLINE if self._has_cr else None
