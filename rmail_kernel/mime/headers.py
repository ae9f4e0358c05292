"""Header sections as raw bytes: their fields, RFC 2047 words, and the subsets that IMAP asks for.
Never raises on any input.

RFC 5322 2.2, RFC 2047, RFC 9051 6.4.5. Every function takes a header section with or without its
blank line and stops at it.
"""

import binascii
import re
from collections.abc import Collection, Iterator, Set
from typing import Final

from rmail_kernel.mime.charsets import codec_of, decode_raw, decode_text

__all__ = [
    "decode_words",
    "field_block",
    "fields",
    "fields_and_block",
    "first",
    "logical_lines",
    "unfold",
]

# One logical line with its continuation lines; possessive, so that no input makes it backtrack.
_LINE: Final = re.compile(rb"(?:([!-9;-~]++)[ \t]*+:)?+((?:[^\n]*+\n[ \t])*+[^\n]*+)\n?")
# RFC 2047 2; the text may hold spaces, which the RFC forbids and senders write.
_WORD: Final = re.compile(rb"=\?([^?\s]++)\?([bBqQ])\?([^?]*+)\?=")
_BASE64: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
_NOT_BASE64: Final = bytes(c for c in range(256) if c not in _BASE64 and c != ord("="))


def fields(raw_header: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each field's name as written and its raw value, in order; lines that are no field are
    passed over.

    The value is all that follows the colon, still folded, without the final line end.
    """
    for line in _lines(raw_header):
        if line[1] is not None:
            yield line[1], line[2].removesuffix(b"\r")


def logical_lines(raw_header: bytes) -> Iterator[tuple[bytes | None, bytes]]:
    """Each line with its continuation lines and line end, exactly as it stands, behind its field's
    name as written; None: it is no field.
    """
    for line in _lines(raw_header):
        yield line[1], line[0]


def _lines(raw_header: bytes) -> Iterator[re.Match[bytes]]:
    for line in _LINE.finditer(raw_header):
        if line[1] is None and line[0] in (b"\r\n", b"\n", b""):
            return
        yield line


def first(raw_header: bytes, name: bytes) -> bytes | None:
    """The raw, still folded value of the first field called `name` (any case), None if there is
    none.
    """
    wanted = name.lower()
    return next((value for field, value in fields(raw_header) if field.lower() == wanted), None)


def unfold(raw: bytes) -> bytes:
    """`raw` without its line ends and without outer white space (RFC 5322 2.2.3)."""
    if b"\n" in raw:
        raw = raw.replace(b"\r\n", b"").replace(b"\n", b"")
    return raw.strip()


def field_block(raw_header: bytes, names: Collection[bytes], exclude: bool = False) -> bytes:
    """The exact raw lines of the fields in `names` (any case), or of all others with `exclude`,
    and the blank line.

    RFC 9051 6.4.5.1: the answer to BODY[HEADER.FIELDS (names)], or BODY[HEADER.FIELDS.NOT
    (names)] with `exclude`.
    """
    wanted = {name.lower() for name in names}
    block = b"".join(
        line[0]
        for line in _lines(raw_header)
        if line[1] is not None and (line[1].lower() in wanted) is not exclude
    )
    return _ended(block)


def fields_and_block(
    raw_header: bytes, wanted: Set[bytes]
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """The fields whose names are `wanted`, all of that in lower case, and their `field_block`."""
    found, lines = [], []
    for line in _lines(raw_header):
        if line[1] is not None and (name := line[1].lower()) in wanted:
            found.append((name, line[2].removesuffix(b"\r")))
            lines.append(line[0])
    return found, _ended(b"".join(lines))


def _ended(block: bytes) -> bytes:
    """Whole lines, and the blank line."""
    if block and not block.endswith(b"\n"):
        block = block.removesuffix(b"\r") + b"\r\n"  # the input ends within its last line
    return block + b"\r\n"


def decode_words(raw: bytes) -> str:
    """A field's raw value as text: unfolded, its encoded words decoded, 8-bit bytes as UTF-8 or
    else Latin-1.

    An encoded word in an unknown charset or with broken bytes still gives text; one that does not
    parse stays as it is.
    """
    raw = unfold(raw)
    if b"=?" not in raw:
        return decode_raw(raw)
    return "".join(_decoded(raw))


def _decoded(raw: bytes) -> Iterator[str]:
    charset, run, position = "", bytearray(), 0
    for word in _WORD.finditer(raw):
        between = raw[position : word.start()]
        # RFC 2231 5: a language may follow the charset.
        name = word[1].partition(b"*")[0].decode("latin-1")
        # RFC 2047 6.2: white space between two encoded words is not shown.
        is_adjacent = position > 0 and not between.strip()
        if not is_adjacent or codec_of(name) != codec_of(charset):
            yield _text(run, charset)
            run.clear()
        if not is_adjacent:
            yield decode_raw(between)
        charset, position = name, word.end()
        run += _word_bytes(word[2], word[3])  # one character may be split over two words
    yield _text(run, charset)
    yield decode_raw(raw[position:])


def _text(run: bytearray, charset: str) -> str:
    return decode_text(bytes(run), charset) if run else ""


def _word_bytes(encoding: bytes, text: bytes) -> bytes:
    if encoding in b"qQ":
        return binascii.a2b_qp(text, header=True)
    return decode_base64(text)


def decode_base64(raw: bytes) -> bytes:
    """Base64 of any quality (RFC 2045 6.8): foreign bytes are ignored, missing padding is
    supplied, joined texts are joined.
    """
    return b"".join(
        binascii.a2b_base64(piece[: len(piece) - (len(piece) % 4 == 1)] + b"==")
        for piece in raw.translate(None, _NOT_BASE64).split(b"=")
        if piece
    )
