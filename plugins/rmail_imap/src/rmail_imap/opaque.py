"""BODY and BODYSTRUCTURE for clients that know no message/global: RFC 3501 9 gives an envelope and
a body to message/rfc822 alone, RFC 9051 7.5.2 and RFC 9755 6 to both.

It works on wire forms, which are made once for all clients.
"""

from __future__ import annotations

import re
from typing import Final

_HEAD: Final = b'("message" "global" '
_TOKEN: Final = re.compile(rb'[() ]|"(?:[^"\\]++|\\.)*+"|\{(\d++)\}\r\n|[^() "{]++', re.DOTALL)
_BASIC: Final = 5
"""Elements that all parts have after their type: parameters, id, description, encoding, octets."""
_MORE: Final = 3
"""What a message has more: envelope, body, lines."""


def opaque(raw: bytes) -> bytes:
    """The wire form with each message/global as a part of which nothing more is known."""
    if _HEAD not in raw:
        return raw
    pieces: list[bytes] = []
    start = at = 0
    while at < len(raw):
        if not raw.startswith(_HEAD, at):
            _, at = _token(raw, at)
            continue
        kept = _after(raw, at + len(_HEAD), _BASIC)
        pieces.append(raw[start:kept])
        start = at = _after(raw, kept + 1, _MORE)
    return b"".join([*pieces, raw[start:]])


def _after(raw: bytes, at: int, count: int) -> int:
    """The end of so many elements, with a space between them."""
    for left in range(count, 0, -1):
        depth = 0
        while True:
            token, at = _token(raw, at)
            depth += (token == b"(") - (token == b")")
            if not depth:
                break
        at += left > 1
    return at


def _token(raw: bytes, at: int) -> tuple[bytes, int]:
    """A token and where it ends."""
    match = _TOKEN.match(raw, at)
    assert match is not None  # what we have made ourselves
    return match[0], match.end() + int(match[1] or 0)
