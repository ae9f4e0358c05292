"""Bytes to text for names that mail gives its character sets; never raises and never loads a
codec by a stranger's name.

RFC 2045 5.2, RFC 2046 4.1.2, RFC 2231 4. Only codecs on a fixed table are looked up: a lookup by
a name out of a message would grow Python's codec cache without bound and reach codecs such as
`idna` or `unicode_escape`, which are not character sets.
"""

from encodings import normalize_encoding
from encodings.aliases import aliases
from functools import lru_cache
from typing import Final

_NOT_CHARSETS: Final = frozenset(
    {"base64_codec", "bz2_codec", "hex_codec", "quopri_codec", "rot_13", "uu_codec", "zlib_codec"}
    | {"mbcs", "tactis", "idna", "punycode"}
)
_KNOWN: Final[dict[str, str]] = {
    **{name: codec for name, codec in aliases.items() if codec not in _NOT_CHARSETS},
    **{codec: codec for codec in aliases.values() if codec not in _NOT_CHARSETS},
    # Names seen in mail that Python does not know, and sets whose superset is what senders mean.
    "utf8mb4": "utf_8",
    "unicode_1_1_utf_8": "utf_8",
    "unicode_1_1_utf_7": "utf_7",
    "gb2312": "gb18030",
    "gb_2312_80": "gb18030",
    "gbk": "gb18030",
    "ks_c_5601_1987": "cp949",
    "euc_kr": "cp949",
    "shift_jis": "cp932",
    "sjis": "cp932",
    "iso_8859_8_i": "iso8859_8",
    "cp_850": "cp850",
    "macintosh": "mac_roman",
}
_LONGEST: Final = 40
_ASCII: Final = frozenset({"ascii", "utf_8"})


def codec_of(charset: str) -> str | None:
    """Python's codec for the MIME `charset` name, or None for a name that is no known character
    set.
    """
    return _codec(charset) if len(charset) <= _LONGEST else None


@lru_cache(maxsize=256)
def _codec(charset: str) -> str | None:
    if not charset.isascii():
        return None
    return _KNOWN.get(normalize_encoding(charset.strip().lower()).lower())


def decode_raw(raw: bytes) -> str:
    """8-bit text without a declared charset: UTF-8 if it is valid (RFC 6532), otherwise Latin-1."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("latin-1")


def decode_text(raw: bytes, charset: str | None) -> str:
    """`raw` in `charset`; with an unknown or no charset as `decode_raw`, with broken bytes U+FFFD
    in their place.
    """
    codec = codec_of(charset) if charset else None
    if codec is None or codec in _ASCII:
        return decode_raw(raw)
    return raw.decode(codec, "replace")
