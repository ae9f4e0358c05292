"""Line ends of an uploaded message: a lone LF, as files on disk have it, becomes CRLF (RFC 5322
2.1); all else stays as it is.
"""

from __future__ import annotations

import re

_LONE_LF = re.compile(rb"(?<!\r)\n")


class LineEnds:
    """Works on pieces as they arrive: remembers whether the last one ended with CR."""

    def __init__(self) -> None:
        self._ends_with_cr = False

    def normalise(self, piece: bytes) -> bytes:
        """The next piece with its lone line feeds made CRLF."""
        if not piece:
            return piece
        starts_within = self._ends_with_cr and piece.startswith(b"\n")
        self._ends_with_cr = piece.endswith(b"\r")
        if starts_within:
            return b"\n" + _LONE_LF.sub(b"\r\n", piece[1:])
        return _LONE_LF.sub(b"\r\n", piece)
