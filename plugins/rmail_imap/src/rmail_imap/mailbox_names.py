"""Mailbox names on the wire: modified UTF-7 (RFC 3501 5.1.3)."""

from __future__ import annotations

import binascii
import re
from typing import Final

from rmail_kernel.errors import Invalid

SEPARATOR: Final = "/"
_SHIFTED: Final = re.compile(rb"&([A-Za-z0-9+,]*+)-")
_DIRECT: Final = re.compile(rb"[\x20-\x25\x27-\x7e]*+\Z")
_ENCODED: Final = re.compile(r"[^\x20-\x7e]+|&")


def encode_name(name: str) -> bytes:
    """The wire form of a mailbox name."""
    if name.isascii() and name.isprintable() and "&" not in name:
        return name.encode("ascii")
    return _ENCODED.sub(_shift, name).encode("ascii")


def decode_name(raw: bytes, *, is_utf8: bool = False) -> str:
    """The name that a wire form stands for.

    Raises:
        Invalid: not modified UTF-7. Raw UTF-8, which some clients send, is taken as it is.
    """
    if is_utf8 or not raw.isascii():
        try:
            return raw.decode()
        except UnicodeDecodeError as error:
            raise Invalid("The mailbox name is not modified UTF-7") from error
    pieces, at = [], 0
    for match in _SHIFTED.finditer(raw):
        pieces += [_direct(raw[at : match.start()]), _unshift(match[1])]
        at = match.end()
    name = "".join(pieces) + _direct(raw[at:])
    if encode_name(name) != raw:  # RFC 3501 5.1.3: one name has one form
        raise Invalid("The mailbox name is not modified UTF-7")
    return name


def canonical(name: str) -> str:
    """INBOX in its one form, other names without the final separator (RFC 3501 5.1, 6.3.3)."""
    # Only ASCII has cases here: U+0131 in capitals would be an I.
    is_inbox = name.isascii() and name.upper() == "INBOX"
    return "INBOX" if is_inbox else name.removesuffix(SEPARATOR)


def parents(name: str) -> list[str]:
    """The names above `name`, outermost first."""
    parts = name.split(SEPARATOR)
    return [SEPARATOR.join(parts[:count]) for count in range(1, len(parts))]


def _shift(match: re.Match[str]) -> str:
    text = match[0]
    if text == "&":
        return "&-"
    raw = binascii.b2a_base64(text.encode("utf-16-be", "surrogatepass"), newline=False)
    return f"&{raw.rstrip(b'=').replace(b'/', b',').decode()}-"


def _unshift(raw: bytes) -> str:
    if not raw:
        return "&"
    try:
        padded = raw.replace(b",", b"/") + b"=" * (-len(raw) % 4)
        return binascii.a2b_base64(padded, strict_mode=True).decode("utf-16-be")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise Invalid("The mailbox name is not modified UTF-7") from error


def _direct(raw: bytes) -> str:
    if _DIRECT.match(raw) is None:
        raise Invalid("The mailbox name is not modified UTF-7")
    return raw.decode("ascii")
