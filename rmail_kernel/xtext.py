"""xtext, the encoding of values in SMTP parameters (RFC 3461 4), and the address forms of RFC 6533.

Both ends of SMTP use it. It knows no parameter.
"""

from __future__ import annotations

import re

from rmail_kernel.errors import Invalid

# RFC 3461 4: xchar is "!" to "~" without "+" and "="; hexchar has upper-case digits only.
_XTEXT = re.compile(r"(?:[!-*,-<>-~]|\+[0-9A-F]{2})*\Z")
_HEXCHAR = re.compile(r"\+([0-9A-F]{2})")
_SPECIAL = re.compile(r"[^!-*,-<>-~]")
# RFC 6533 3: EmbeddedUnicodeChar in utf-8-addr-xtext and utf-8-addr-unitext.
_EMBEDDED = re.compile(r"\\x\{([0-9A-F]{2,6})\}")
# RFC 6533 3: what must be embedded where only ASCII may stand: SP, "+", "=", "\" and beyond.
_NOT_QCHAR = re.compile(r"[^!-*,-<>-\[\]-~]")
_MAX_CODE_POINT = 0x10FFFF
_SURROGATES = range(0xD800, 0xE000)


def encode(text: str) -> str:
    """`text` as xtext.

    Args:
        text: printable ASCII and spaces; nothing else can be said in xtext.

    Raises:
        Invalid: other characters.
    """
    if not (text.isascii() and text.isprintable()):
        raise Invalid("Not printable ASCII")
    return _SPECIAL.sub(lambda found: f"+{ord(found[0]):02X}", text)


def decode(raw_text: str) -> str:
    """What an xtext stands for.

    Raises:
        Invalid: not xtext, or it stands for something else than printable ASCII (RFC 3461 4.2 and
            4.4 allow nothing else, and it is repeated in reports).
    """
    if not _XTEXT.match(raw_text):
        raise Invalid("Not xtext")
    text = _HEXCHAR.sub(lambda found: chr(int(found[1], 16)), raw_text)
    if not (text.isascii() and text.isprintable()):
        raise Invalid("Not printable ASCII")
    return text


def encode_utf8_address(address: str) -> str:
    """An internationalised address in ASCII: utf-8-addr-xtext (RFC 6533 3)."""
    return _NOT_QCHAR.sub(lambda found: f"\\x{{{ord(found[0]):02X}}}", address)


def decode_utf8_address(raw_text: str) -> str:
    """The address behind utf-8-addr-xtext or utf-8-addr-unitext (RFC 6533 3).

    Raises:
        Invalid: an escape that stands for no character, or for one that does not print; a
            backslash that begins none.
    """
    if "\\" in _EMBEDDED.sub("", raw_text):
        raise Invalid("A backslash stands alone")
    text = _EMBEDDED.sub(lambda found: _character(int(found[1], 16)), raw_text)
    if not text.isprintable():
        raise Invalid("Not printable")
    return text


def _character(code_point: int) -> str:
    if code_point > _MAX_CODE_POINT or code_point in _SURROGATES:
        raise Invalid("No such character")
    return chr(code_point)
