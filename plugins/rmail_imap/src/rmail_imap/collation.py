"""The comparator i;unicode-casemap (RFC 5051), by which SORT and THREAD compare texts (RFC 5255
4.3). A text is mapped once; what comes of it compares by code points, in the order of UTF-8 bytes.
"""

from __future__ import annotations

import unicodedata

MAX_CHARS = 2000
"""Characters of a text that are compared."""


class _Casemap(dict[int, str]):
    """What each character becomes: its simple titlecase mapping, decomposed (RFC 5051 2)."""

    def __missing__(self, code: int) -> str:
        char = chr(code)
        title = char.title()
        # Python's mapping is the full one; where that gives several, the simple one gives none.
        found = unicodedata.normalize("NFKD", title if len(title) == 1 else char)
        self[code] = found
        return found


_CASEMAP = _Casemap()


def collation_key(text: str) -> str:
    """What to compare instead of `text`."""
    text = text[:MAX_CHARS]
    return text.upper() if text.isascii() else text.translate(_CASEMAP)
