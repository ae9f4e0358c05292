"""A message made seven bits wide for a server that takes no more.

RFC 6152 3, RFC 2045 6, RFC 3030 3. Only the parts that need it are encoded, by their places in one
scan; all else keeps its bytes. A text without any MIME becomes one of an unknown charset (RFC 1428
3).
"""

from __future__ import annotations

import base64
import binascii
import mmap
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing

from rmail_kernel.content import Content, ContentWriter, SpoolFile
from rmail_kernel.kernel import Kernel
from rmail_kernel.mime import Part, fields, scan
from rmail_kernel.mime.headers import logical_lines
from rmail_relay.client.lines import with_crlf

_BLOCK_BYTES = 57 * 1024  # whole lines of base64 (RFC 2045 6.8)
_WIDE = ("8bit", "binary")
_SAMPLE_BYTES = 1 << 16
_ENCODING = b"content-transfer-encoding"
Buffer = bytes | mmap.mmap


async def encode(kernel: Kernel, content: Content) -> Content:
    """The message with every wide part in quoted-printable or base64.

    Raises:
        Temporary: there is no room for it.
    """
    return await kernel.run(encoded, content, kernel.writer)


def encoded(content: Content, make_writer: Callable[[], ContentWriter]) -> Content:
    """See `encode`; blocking."""
    with make_writer() as whole, make_writer() as writer:
        for chunk in content.chunks():
            whole.write(chunk)
        body = whole.finish().body
        if isinstance(body, bytes):
            _write(writer, _pieces(body))
        elif body.size:
            with closing(_mapped(body)) as buffer:
                _write(writer, _pieces(buffer))
        return writer.finish()


def _mapped(file: SpoolFile) -> mmap.mmap:
    return mmap.mmap(file.fileno(), file.size, prot=mmap.PROT_READ)


def _write(writer: ContentWriter, pieces: Iterable[bytes]) -> None:
    for piece in pieces:
        writer.write(piece)


def _pieces(buffer: Buffer) -> Iterator[bytes]:
    """The whole message in pieces, changed where it must be."""
    at = 0
    for start, end, pieces in _edits(buffer, scan(buffer)):
        yield from _blocks(buffer, at, start)
        yield from pieces
        at = end
    yield from _blocks(buffer, at, len(buffer))


def _edits(buffer: Buffer, root: Part) -> Iterator[tuple[int, int, Iterable[bytes]]]:
    """What is replaced: ranges in ascending order, with what comes instead."""
    parts = [(root, True)]
    while parts:
        part, is_message = parts.pop()
        if part.children:
            if part.encoding in _WIDE:  # RFC 2045 6.4: of what it holds nothing is wide any more
                header = _header(buffer, part, b"7bit", is_message=is_message)
                yield part.header_start, part.body_start, [header]
            parts += [(child, part.is_message) for child in reversed(part.children)]
        elif _is_wide(buffer, part):
            is_text = _is_mostly_ascii_text(buffer, part)
            coding = b"quoted-printable" if is_text else b"base64"
            header = _header(buffer, part, coding, is_message=is_message)
            yield part.header_start, part.body_start, [header]
            lines = _blocks(buffer, part.body_start, part.body_end)
            coded = _quoted_printable(lines) if is_text else _base64(lines, part.type == "text")
            yield part.body_start, part.body_end, coded


def _is_wide(buffer: Buffer, part: Part) -> bool:
    """Whether a part without parts must be encoded, and may be (RFC 2046 5.2: not message/*)."""
    if part.type in ("message", "multipart") or part.encoding in ("base64", "quoted-printable"):
        return False
    blocks = _blocks(buffer, part.body_start, part.body_end)
    return part.encoding in _WIDE or any(not raw.isascii() or b"\0" in raw for raw in blocks)


def _is_mostly_ascii_text(buffer: Buffer, part: Part) -> bool:
    sample = buffer[part.body_start : min(part.body_end, part.body_start + _SAMPLE_BYTES)]
    wide = sum(letter > 126 for letter in sample)
    return part.type == "text" and wide * 3 <= len(sample)


def _header(buffer: Buffer, part: Part, coding: bytes, *, is_message: bool) -> bytes:
    """The header of a part with another encoding; of a message, a MIME header in any case."""
    raw = bytes(buffer[part.header_start : part.body_start])
    kept = [line for name, line in logical_lines(raw) if name is None or name.lower() != _ENCODING]
    names = {name.lower() for name, _ in fields(raw)}
    added = []
    if is_message and b"mime-version" not in names:
        added.append(b"MIME-Version: 1.0\r\n")
    if is_message and b"content-type" not in names:
        added.append(b"Content-Type: text/plain; charset=unknown-8bit\r\n")
    added.append(b"Content-Transfer-Encoding: " + coding + b"\r\n")
    whole = b"".join(kept)
    if whole and not whole.endswith(b"\n"):
        whole += b"\r\n"
    return whole + b"".join(added) + b"\r\n"


def _blocks(buffer: Buffer, start: int, end: int) -> Iterator[bytes]:
    for at in range(start, end, _BLOCK_BYTES):
        yield bytes(buffer[at : min(end, at + _BLOCK_BYTES)])


def _quoted_printable(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """RFC 2045 6.7; a soft line break where a block ends within a line."""
    ahead = with_crlf(blocks)
    block = next(ahead, b"")
    for following in ahead:
        coded = binascii.b2a_qp(block, istext=True)
        yield coded if coded.endswith(b"\n") else coded + b"=\r\n"
        block = following
    yield binascii.b2a_qp(block, istext=True)


def _base64(blocks: Iterable[bytes], is_text: bool) -> Iterator[bytes]:
    """RFC 2045 6.8; the line ends of a text are CRLF before it is encoded."""
    held = b""
    for block in with_crlf(blocks) if is_text else blocks:
        held += block
        whole = len(held) - len(held) % 57
        yield base64.encodebytes(held[:whole]).replace(b"\n", b"\r\n")
        held = held[whole:]
    yield base64.encodebytes(held).replace(b"\n", b"")
