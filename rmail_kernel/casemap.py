"""The comparator i;unicode-casemap (RFC 5051), by which texts are searched, sorted and threaded
(RFC 5255 4.3): they are equal, in order and contain one another as their casemaps are.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_OTHERS: Final = re.compile(r"[^\x00-\x7f]+")
_RARE: Final = 32
_PIECE_CHARS: Final = 1 << 15  # a millisecond or two, in which no other thread runs


class _Table(dict[int, str]):
    """What each character becomes: its simple titlecase mapping, decomposed (RFC 5051 2)."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        title = char.title()
        # Python's mapping is the full one; where that gives several, the simple one gives none.
        found = unicodedata.normalize("NFKD", title if len(title) == 1 else char)
        self[code] = found
        return found


_TABLE = _Table()


def casemap(text: str) -> str:
    """What compares instead of `text`, by code points (the order of UTF-8 bytes). Character by
    character: of two texts, one behind the other, it is the one of each.
    """
    if text.isascii():
        return text.upper()
    if len(text) <= _PIECE_CHARS:
        return _mapped(text)
    starts = range(0, len(text), _PIECE_CHARS)
    return "".join([_mapped(text[start : start + _PIECE_CHARS]) for start in starts])


def _mapped(text: str) -> str:
    raw = text.encode("utf-8", "surrogatepass")
    if (len(raw) - len(text)) * _RARE > len(text):
        return text.translate(_TABLE)
    # Few characters are not ASCII; bytes have no case but that of ASCII.
    return _OTHERS.sub(_others, raw.upper().decode("utf-8", "surrogatepass"))


def _others(found: re.Match[str]) -> str:
    return found[0].translate(_TABLE)
