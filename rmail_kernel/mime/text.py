"""Decoded bodies and their text, for search, previews and web clients. Never raises on what a
message holds.

RFC 2045 6 (transfer encodings), RFC 2046 4.1 (text), RFC 8970 (previews).
"""

import binascii
import re
from collections.abc import Iterator
from typing import Final

from rmail_kernel.mime.charsets import decode_text
from rmail_kernel.mime.headers import decode_base64
from rmail_kernel.mime.html import html_text
from rmail_kernel.mime.structure import Buffer, Part

HTML_BYTES: Final = 1024 * 1024
"""Bytes of an HTML body that are read beyond what its text alone would need."""
PREVIEW_HTML_BYTES: Final = 128 * 1024
"""The same for a preview, which every new message gets."""

# A character is at most 4 bytes, each of them 3 characters of quoted-printable.
_BYTES_PER_CHARACTER: Final = 12
_TRAILING_SPACE: Final = re.compile(rb"(?<![ \t])[ \t]++(?=\r?\n)")
_SPACED_ENDS: Final = (b" \n", b" \r\n", b"\t\n", b"\t\r\n")


def decode_body(buffer: Buffer, part: Part) -> bytes:
    """The body of `part` of the message in `buffer` without its transfer encoding.

    Damaged base64 and quoted-printable give what can be read of them; an unknown encoding is left
    as it is.
    """
    return _decode(bytes(buffer[part.body_start : part.body_end]), part.encoding)


def _decode(raw: bytes, encoding: str) -> bytes:
    if encoding == "base64":
        return decode_base64(raw)
    if encoding == "quoted-printable":
        # RFC 2045 6.7 (3): white space at the end of a line was added on the way.
        if any(end in raw for end in _SPACED_ENDS):  # found out fifty times as quickly
            raw = _TRAILING_SPACE.sub(b"", raw)
        return binascii.a2b_qp(raw)
    return raw


def text_of(buffer: Buffer, part: Part, limit_chars: int, html_bytes: int = HTML_BYTES) -> str:
    """At most `limit_chars` characters of the text of `part`; of HTML what a reader sees.

    Bytes that do not fit the charset give U+FFFD; without a known charset the text is UTF-8 or
    else Latin-1.
    """
    is_html = part.type == "text" and part.subtype in ("html", "xhtml")
    most = limit_chars * _BYTES_PER_CHARACTER + (html_bytes if is_html else 0)
    is_cut = most < part.size_bytes
    end = part.body_start + most if is_cut else part.body_end
    raw = _decode(bytes(buffer[part.body_start : end]), part.encoding)
    text = decode_text(_whole_characters(raw) if is_cut else raw, part.param("charset"))
    return (html_text(text) if is_html else text)[:limit_chars]


def _whole_characters(raw: bytes) -> bytes:
    """`raw` without a UTF-8 character that the cut broke, so that the rest is still recognised as
    UTF-8.
    """
    for length in range(1, min(4, len(raw)) + 1):
        if raw[-length] >= 0xC0:
            return raw[:-length]
        if raw[-length] < 0x80:
            break
    return raw


def message_text(buffer: Buffer, root: Part, limit_chars: int) -> Iterator[str]:
    """The texts of all text parts below `root` and the file names of the others, in order,
    together at most `limit_chars`.
    """
    left = limit_chars
    for part in walk(root):
        if left <= 0:
            return
        if part.type == "text":
            text = text_of(buffer, part, left)
        elif not part.children:
            text = (part.filename or "")[:left]
        else:
            continue
        if text:
            left -= len(text)
            yield text
        if part.type == "text" and part.filename and left > 0:
            yield part.filename[:left]
            left -= len(part.filename)


def walk(root: Part) -> Iterator[Part]:
    """`root` and all parts below it in the order of the message."""
    waiting = [root]
    while waiting:
        part = waiting.pop()
        yield part
        waiting.extend(reversed(part.numbered))


def preview(buffer: Buffer, root: Part, limit: int = 200) -> str:
    """At most `limit` characters of the first readable text (RFC 8970), white space collapsed;
    plain text before HTML.
    """
    texts = [part for part in walk(root) if part.type == "text" and not _is_attached(part)]
    texts.sort(key=lambda part: part.subtype != "plain")
    for part in texts[:10]:
        text = " ".join(text_of(buffer, part, limit * 4, PREVIEW_HTML_BYTES).split())[
            :limit
        ].strip()
        if text:
            return text
    return ""


def _is_attached(part: Part) -> bool:
    return part.disposition is not None and part.disposition[0] == "attachment"
