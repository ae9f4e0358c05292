"""Transfer encodings undone piece by piece, for bodies too large for memory, and base64 made.

RFC 2045 6. Damaged input gives what can be read of it; nothing is ever raised for it.
"""

import binascii
import re
from collections.abc import Callable, Iterator
from typing import Final, Protocol

from rmail_kernel.mime.structure import Buffer

IDENTITY: Final = frozenset({"", "7bit", "8bit", "binary"})
"""Transfer encodings that leave the bytes as they are."""
_NOT_BASE64: Final = bytes(
    set(range(256)) - set(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=")
)
_SPACE_BEFORE_END: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_LINE_BYTES: Final = 57
"""Bytes that a line of base64 holds: 76 characters (RFC 2045 6.8)."""
_LONGEST_LINE_BYTES: Final = 1 << 16


class Decoder(Protocol):
    """Undoes one encoding."""

    def feed(self, raw: bytes) -> bytes:
        """Takes the next bytes; what they decode to as far as that is known."""

    def finish(self) -> bytes:
        """What is left once all bytes were taken."""


class _Base64:
    """Base64 of any quality (RFC 2045 6.8): foreign bytes are ignored, joined texts are joined."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, raw: bytes) -> bytes:
        pieces = (self._rest + raw.translate(None, _NOT_BASE64)).split(b"=")
        self._rest = pieces.pop()
        whole = len(self._rest) // 4 * 4
        done = [_base64(piece) for piece in pieces] + [binascii.a2b_base64(self._rest[:whole])]
        self._rest = self._rest[whole:]
        return b"".join(done)

    def finish(self) -> bytes:
        return _base64(self._rest)


def _base64(piece: bytes) -> bytes:
    """What a run without padding decodes to; a single character left over says nothing."""
    return binascii.a2b_base64(piece[: len(piece) - (len(piece) % 4 == 1)] + b"==")


class _QuotedPrintable:
    """Quoted-printable, line by line (RFC 2045 6.7)."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, raw: bytes) -> bytes:
        joined = self._rest + raw
        end = joined.rfind(b"\n") + 1
        if not end and len(joined) > _LONGEST_LINE_BYTES:  # no line of that kind, but cut it safely
            at = joined.rfind(b"=", len(joined) - 3)
            end = at if at > 0 else len(joined)
        self._rest = joined[end:]
        return _quoted(joined[:end])

    def finish(self) -> bytes:
        return _quoted(self._rest)


def _quoted(raw: bytes) -> bytes:
    # RFC 2045 6.7 (3): white space at the end of a line was added on the way.
    return binascii.a2b_qp(_SPACE_BEFORE_END.sub(b"", raw))


class LineEnds:
    """Ends all lines with CRLF, as text has them in protocols (RFC 3516 6)."""

    def __init__(self) -> None:
        self._cr = b""

    def feed(self, raw: bytes) -> bytes:
        """See `Decoder.feed`."""
        known = len(self._cr)
        found = _BARE_LF.sub(b"\r\n", self._cr + raw)[known:]
        self._cr = b"\r" if raw.endswith(b"\r") else b""
        return found

    def finish(self) -> bytes:
        """See `Decoder.finish`."""
        return b""


_DECODERS: Final[dict[str, Callable[[], Decoder]]] = {
    "base64": _Base64,
    "quoted-printable": _QuotedPrintable,
}


def decoder(encoding: str) -> Decoder | None:
    """A fresh decoder of a transfer encoding in lower case, None for one that is not known. Not
    for those of IDENTITY.
    """
    make = _DECODERS.get(encoding)
    return None if make is None else make()


def base64_lines(buffer: Buffer, start: int, end: int) -> Iterator[bytes]:
    """The bytes [start, end) of a message in base64, in pieces of many lines that all end with
    CRLF.
    """
    step = _LINE_BYTES * 1024
    for at in range(start, end, step):
        raw = bytes(buffer[at : min(at + step, end)])
        lines = [
            binascii.b2a_base64(raw[line : line + _LINE_BYTES], newline=False)
            for line in range(0, len(raw), _LINE_BYTES)
        ]
        yield b"\r\n".join(lines) + b"\r\n"
