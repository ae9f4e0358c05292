"""Flag words of the store as flag lists on the wire."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from rmail_imap import write
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, MAX_KEYWORDS, SYSTEM_FLAGS, Flag

_RECENT: Final = int(Flag.RECENT)


class FlagWriter:
    """Renders flag words of one keyword table, each word once.

    Args:
        keywords: the table.
        recent: UIDs that are \\Recent in the session.
    """

    def __init__(self, keywords: tuple[str, ...], recent: Collection[int]) -> None:
        self._keywords = keywords
        self._recent = recent
        self._known: dict[int, bytes] = {}

    def render(self, uid: int, word: int) -> bytes:
        """The flag list of a message."""
        word = word | _RECENT if uid in self._recent else word & ~_RECENT
        raw = self._known.get(word)
        if raw is None:
            raw = self._known[word] = write.flags(self._names(word))
        return raw

    def _names(self, word: int) -> list[str]:
        names = [name for name, bit in SYSTEM_FLAGS.items() if word & bit]
        if word & _RECENT:
            names.append("\\Recent")
        for index, keyword in enumerate(self._keywords):
            if keyword and word >> (FIRST_KEYWORD_BIT + index) & 1:
                names.append(keyword)
        return names


def flag_mask(names: Collection[str], keywords: tuple[str, ...]) -> int:
    """The bits of some flags in the words of a keyword table; keywords compare without case."""
    mask = 0
    lower = [keyword.lower() for keyword in keywords]
    for name in names:
        if name in SYSTEM_FLAGS:
            mask |= SYSTEM_FLAGS[name]
        elif name.lower() in lower:
            mask |= 1 << FIRST_KEYWORD_BIT + lower.index(name.lower())
    return mask


def announce(keywords: tuple[str, ...], *, is_read_only: bool) -> bytes:
    """FLAGS and PERMANENTFLAGS (RFC 3501 7.2.6, 7.1); `\\*` while new keywords fit."""
    names = [*SYSTEM_FLAGS, *(keyword for keyword in keywords if keyword)]
    more = ["\\*"] if sum(map(bool, keywords)) < MAX_KEYWORDS else []
    permanent = [] if is_read_only else names + more
    return b"* FLAGS %b\r\n* OK [PERMANENTFLAGS %b] Flags that are kept\r\n" % (
        write.flags(names),
        write.flags(permanent),
    )
