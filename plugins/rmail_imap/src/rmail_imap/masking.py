"""Takes passwords out of what a client says, in whatever pieces it comes: the arguments of LOGIN
and AUTHENTICATE, their literals (RFC 3501 4.3), and what answers a challenge.

It must never show what it is not sure of, and holds no more than the start of one line.
"""

from __future__ import annotations

import re
from typing import Final

_SECRET: Final = re.compile(rb"(?i)[ \t]*([^ \r\n]+[ \t]+(LOGIN|AUTHENTICATE))(?=[ \r\n])")
_TOLD: Final = re.compile(rb"[ \t]*[^ \r\n]+[ \t]+[^ \r\n]+[ \t]|[^\n]*\n")
"""Which command a line is can be told from this much of it."""
_LITERAL: Final = re.compile(rb"\{(\d{1,10})\+?\}\r?\n\Z")
_MASK: Final = b" ***\r\n"
HELD_BYTES: Final = 1024
"""What is held back of a line until its end is there: enough to see which command it is."""
_TAIL_BYTES: Final = 16


class Mask:
    """The client's side of one session."""

    __slots__ = ("_answers", "_held", "_hidden_bytes", "_is_secret", "_is_start", "_tail")

    def __init__(self) -> None:
        self._held = b""
        self._tail = b""
        self._hidden_bytes = 0
        self._is_start = True
        self._is_secret = False
        self._answers = False

    def __call__(self, raw: bytes) -> bytes:
        """What may be shown of the next piece."""
        shown = []
        rest = self._held + raw
        self._held = b""
        while rest:
            if self._hidden_bytes:
                count = min(self._hidden_bytes, len(rest))
                self._hidden_bytes -= count
                rest = rest[count:]
                continue
            end = rest.find(b"\n") + 1
            if not end and self._is_start and len(rest) < HELD_BYTES:
                self._held = rest
                break
            end = end or len(rest)
            shown.append(self._piece(rest[:end]))
            rest = rest[end:]
        return b"".join(shown)

    def _piece(self, raw: bytes) -> bytes:
        """A line, or as much of a long one as is there."""
        shown = raw
        if self._is_start:
            shown = self._start(raw)
        elif self._is_secret:
            shown = b""
        self._tail = (self._tail + raw[-_TAIL_BYTES:])[-_TAIL_BYTES:]
        self._is_start = raw.endswith(b"\n")
        if self._is_start:
            self._end()
        return shown

    def _start(self, raw: bytes) -> bytes:
        self._tail = b""
        if self._is_secret:  # it goes on after a literal
            return b""
        command = _SECRET.match(raw)
        is_answer = self._answers and b" " not in raw
        if command is None and (is_answer or not _TOLD.match(raw)):
            self._is_secret = True
            return _MASK.lstrip()
        self._answers = command is not None and command[2].upper() == b"AUTHENTICATE"
        self._is_secret = command is not None
        return raw if command is None else command[1] + _MASK

    def _end(self) -> None:
        """A line has ended; a secret one goes on if a literal follows."""
        literal = _LITERAL.search(self._tail) if self._is_secret else None
        self._is_secret = literal is not None
        self._hidden_bytes = int(literal[1]) if literal else 0
