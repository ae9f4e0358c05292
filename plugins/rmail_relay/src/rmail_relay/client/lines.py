"""A message as a peer must get it: lines that end with CRLF, dots doubled, at any chunk border.

A bare CR or LF becomes a line end, so that no peer can see an end of the message that we do not
(RFC 5321 2.3.8, 4.1.1.4, 4.5.2).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_LINE_END = re.compile(rb"\r\n|\r|\n")


def with_crlf(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines with CRLF between them; no piece ends within a CRLF."""
    held = b""  # a CR at the border may be half of one
    for chunk in chunks:
        raw = held + chunk if held else chunk
        held = b"\r" if raw.endswith(b"\r") else b""
        raw = _with_crlf(raw[:-1] if held else raw)
        if raw:
            yield raw
    if held:
        yield b"\r\n"


def canonical(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same lines with CRLF, the last one ended too; nothing stays nothing."""
    chunk = b"\r\n"
    for chunk in with_crlf(chunks):
        yield chunk
    if not chunk.endswith(b"\n"):
        yield b"\r\n"


def dot_stuffed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Canonical lines, each that begins with a dot with another in front (RFC 5321 4.5.2).

    Args:
        chunks: of `canonical`, where CRLF is never split.
    """
    is_line_start = True
    for chunk in chunks:
        raw = chunk.replace(b"\r\n.", b"\r\n..")
        if is_line_start and raw.startswith(b"."):
            raw = b"." + raw
        is_line_start = raw.endswith(b"\r\n")
        yield raw


def _with_crlf(raw: bytes) -> bytes:
    pairs = raw.count(b"\r\n")
    if raw.count(b"\n") == pairs == raw.count(b"\r"):
        return raw
    return _LINE_END.sub(b"\r\n", raw)
