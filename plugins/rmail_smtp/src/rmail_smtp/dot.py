"""The message between DATA and the final dot: found and unstuffed, without any I/O.

RFC 5321 4.1.1.4, 4.5.2 (transparency). Bytes are passed on as they come.
"""

from __future__ import annotations

from collections.abc import Callable

_END = b"\r\n.\r\n"


class DotReader:
    """Finds the end of a message in a stream.

    Args:
        sink: gets the message's bytes in pieces; only the last may end within CR LF.
    """

    def __init__(self, sink: Callable[[bytes], None]) -> None:
        self._sink = sink
        # As if a line had ended before, so that a first line "." is the end and "..x" is unstuffed.
        self._held = bytearray(b"\r\n")
        self._is_first = True

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
        piece = piece.replace(b"\r\n.", b"\r\n")  # RFC 5321 4.5.2
        if self._is_first:
            self._is_first = False
            piece = piece[2:]
        if piece:
            self._sink(piece)
