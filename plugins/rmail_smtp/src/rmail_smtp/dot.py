"""The message between DATA and the final dot: found, unstuffed and checked, without any I/O.

RFC 5321 4.1.1.4, 4.5.2 (transparency), 2.3.8 (no bare CR or LF: SMTP smuggling). Bytes are passed
on as they come; nothing is repaired. NUL passes: RFC 5322 4.1 (obs-body) has receivers take it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from rmail_kernel.errors import Temporary, TooLarge

MAX_LINE_BYTES = 1 << 20  # RFC 5321 4.5.3.1.6 asks for 1,000; real mail has much more
_END = b"\r\n.\r\n"


class Flaw(Enum):
    """Why a message cannot be taken; it is read to its end all the same."""

    BARE_NEWLINE = "a bare CR or LF"
    LINE_TOO_LONG = "a line that is too long"
    TOO_LARGE = "too large"
    NO_ROOM = "it cannot be kept for now"


class DotReader:
    """Finds the end of a message in a stream.

    Args:
        sink: gets the message's bytes in pieces; may raise TooLarge or Temporary.

    Attributes:
        flaw: the first thing found wrong; the sink gets nothing more from then on.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self.flaw: Flaw | None = None
        self._sink = sink
        # As if a line had ended before, so that a first line "." is the end and "..x" is unstuffed.
        self._held = bytearray(b"\r\n")
        self._is_first = True
        self._line_bytes = 0

    def feed(self, raw: bytes) -> bytes | None:
        """Takes the next bytes of the stream.

        Returns:
            None: the end was not there yet. Otherwise what follows the end.
        """
        held = self._held
        held += raw
        end = held.find(_END)
        if end >= 0:
            self._pass_on(bytes(held[: end + 2]))
            return bytes(held[end + len(_END) :])
        # A CR among the last four bytes may begin the end mark; before it nothing is cut in two.
        cut = held.find(b"\r", max(0, len(held) - len(_END) + 1))
        if cut < 0:
            cut = len(held)
        if cut:
            self._pass_on(bytes(held[:cut]))
            del held[:cut]
        return None

    def _pass_on(self, piece: bytes) -> None:
        self._check(piece)
        piece = piece.replace(b"\r\n.", b"\r\n")  # RFC 5321 4.5.2
        if self._is_first:
            self._is_first = False
            piece = piece[2:]
        if self.flaw is not None or not piece:
            return
        try:
            self._sink(piece)
        except TooLarge:
            self.flaw = Flaw.TOO_LARGE
        except Temporary:
            self.flaw = Flaw.NO_ROOM

    def _check(self, piece: bytes) -> None:
        line_ends = piece.count(b"\r\n")
        if piece.count(b"\r") != line_ends or piece.count(b"\n") != line_ends:
            self.flaw = Flaw.BARE_NEWLINE
        if line_ends:
            longest = self._line_bytes + piece.find(b"\r\n")
            self._line_bytes = len(piece) - piece.rfind(b"\r\n") - 2
        else:
            longest = self._line_bytes = self._line_bytes + len(piece)
        # A line within one piece is shorter than a piece, so only the outer ones need a look.
        if longest > MAX_LINE_BYTES:
            self.flaw = self.flaw or Flaw.LINE_TOO_LONG
