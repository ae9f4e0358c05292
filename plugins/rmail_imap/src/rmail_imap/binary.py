"""Binary content (RFC 3516): bodies without their transfer encoding, and messages with NUL stored
in one that can be shown to every client.

Large bodies are decoded from file to file, in pieces.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from rmail_imap.errors import Refused
from rmail_kernel.content import Content, ContentWriter
from rmail_kernel.kernel import Kernel
from rmail_kernel.mime import Buffer, Part, scan
from rmail_kernel.mime.decoding import IDENTITY, Decoder, LineEnds, base64_lines, decoder
from rmail_kernel.mime.headers import logical_lines
from rmail_kernel.storage.reader import MessageReader

_PIECE_BYTES: Final = 1 << 18
_MEMORY_BYTES: Final = 1 << 16
_ENCODING: Final = b"content-transfer-encoding"


@dataclass(frozen=True, slots=True)
class Decoded:
    """The bytes of a part without its transfer encoding; `has_nul`: there is a NUL among them."""

    content: Content
    has_nul: bool

    def read(self, start: int, end: int) -> bytes:
        """A piece of them."""
        return self.content.read_range(start, end)


async def decode(kernel: Kernel, reader: MessageReader, part: Part) -> Decoded:
    """The body of a leaf.

    Raises:
        Refused: UNKNOWN-CTE (RFC 3516 4.3).
    """
    steps = _steps(part)
    has_nul = False
    with kernel.writer(memory_bytes=_MEMORY_BYTES) as writer:
        for start in range(part.body_start, part.body_end, _PIECE_BYTES):
            raw = await reader.read(start, min(start + _PIECE_BYTES, part.body_end))
            is_short = len(raw) < _MEMORY_BYTES
            piece = _fed(steps, raw) if is_short else await kernel.run(_fed, steps, raw)
            has_nul = has_nul or b"\0" in piece
            writer.write(piece)
        piece = _finished(steps)
        writer.write(piece)
        return Decoded(writer.finish(), has_nul or b"\0" in piece)


def is_decoded(part: Part) -> bool:
    """Whether the bytes of a leaf may be others without its encoding."""
    return part.encoding not in IDENTITY or _has_lines(part)


def _has_lines(part: Part) -> bool:
    """Whether it is text whose ends of lines are its own, and not within an encoding."""
    return part.type == "text" and part.encoding not in ("base64", "binary")


def _steps(part: Part) -> list[Decoder]:
    # RFC 3516 6: lines of text end with CRLF, however they are kept.
    steps: list[Decoder] = [LineEnds()] if _has_lines(part) else []
    if part.encoding not in IDENTITY:
        work = decoder(part.encoding)
        if work is None:
            raise Refused("The transfer encoding of a part is not known", b"UNKNOWN-CTE")
        steps.append(work)
    return steps


def _fed(steps: Sequence[Decoder], raw: bytes) -> bytes:
    for step in steps:
        raw = step.feed(raw)
    return raw


def _finished(steps: Sequence[Decoder]) -> bytes:
    raw = b""
    for step in steps:
        raw = step.feed(raw) + step.finish()
    return raw


async def without_nul(kernel: Kernel, content: Content) -> Content:
    """The same message with the parts that hold NUL in base64 (RFC 3516 4.4 and 6).

    Raises:
        Refused: UNKNOWN-CTE; there is a NUL where no encoding helps.
    """
    with kernel.writer() as writer:
        return await kernel.run(_rewrite, content, writer)


def _rewrite(content: Content, writer: ContentWriter) -> Content:
    if isinstance(content.body, bytes):
        return _encoded(content.body, writer)
    with mmap.mmap(content.body.fileno(), 0, access=mmap.ACCESS_READ) as buffer:
        return _encoded(buffer, writer)


def _encoded(buffer: bytes | mmap.mmap, writer: ContentWriter) -> Content:
    root = scan(buffer)
    at = 0
    for part in _leaves(root):
        if buffer.find(b"\0", part.body_start, part.body_end) < 0:
            continue
        if part.encoding not in IDENTITY:
            raise Refused("A part holds NUL in spite of its encoding", b"UNKNOWN-CTE")
        _copy(buffer, at, part.header_start, writer)
        writer.write(_header(bytes(buffer[part.header_start : part.body_start]), part is root))
        for piece in base64_lines(buffer, part.body_start, part.body_end):
            writer.write(piece)
        at = part.body_end
    _copy(buffer, at, len(buffer), writer)
    return writer.finish()


def _leaves(part: Part) -> Iterator[Part]:
    if not (part.children or part.is_multipart):
        yield part
    for child in part.children:
        yield from _leaves(child)


def _copy(buffer: Buffer, start: int, end: int, writer: ContentWriter) -> None:
    for at in range(start, end, _PIECE_BYTES):
        piece = bytes(buffer[at : min(at + _PIECE_BYTES, end)])
        if b"\0" in piece:
            raise Refused("There is a NUL outside of all parts", b"UNKNOWN-CTE")
        writer.write(piece)


def _header(raw_header: bytes, is_root: bool) -> bytes:
    """The header of a part that is base64 from now on."""
    if b"\0" in raw_header:
        raise Refused("There is a NUL in a header", b"UNKNOWN-CTE")
    lines = list(logical_lines(raw_header))
    kept = [line for name, line in lines if name is not None and name.lower() != _ENCODING]
    if is_root and not any(name and name.lower() == b"mime-version" for name, _ in lines):
        kept.append(b"MIME-Version: 1.0\r\n")
    return b"".join(kept) + b"Content-Transfer-Encoding: base64\r\n\r\n"
