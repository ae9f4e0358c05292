"""Flag words of the store as flag lists on the wire."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Final

from rmail_imap import write
from rmail_kernel.storage.mail import FIRST_KEYWORD_BIT, MAX_KEYWORDS, SYSTEM_FLAGS

_MAX_WORDS: Final = 4096
"""Flag lists that are remembered of one keyword table."""


class FlagWriter:
    """Renders flag words of one keyword table, each word once.

    Args:
        keywords: the table.
        recent: UIDs that are \\Recent in the session.
    """

    def __init__(self, keywords: tuple[str, ...], recent: Collection[int]) -> None:
        self._recent = recent
        self._old = _words(keywords, is_recent=False)
        self._new = _words(keywords, is_recent=True)

    def render(self, uid: int, word: int) -> bytes:
        """The flag list of a message."""
        return self._new[word] if uid in self._recent else self._old[word]

    def column(self, uids: Sequence[int], words: Sequence[int]) -> list[bytes]:
        """The flag lists of many messages."""
        if not self._recent:
            return list(map(self._old.__getitem__, words))
        return list(map(self.render, uids, words))


class _Words(dict[int, bytes]):
    """Flag lists by flag word, each made when it is first asked for."""

    def __init__(self, keywords: tuple[str, ...], *, is_recent: bool) -> None:
        self._keywords = keywords
        self._is_recent = is_recent

    def __missing__(self, word: int) -> bytes:
        if len(self) >= _MAX_WORDS:
            self.clear()
        raw = self[word] = write.flags(self._names(word))
        return raw

    def _names(self, word: int) -> list[str]:
        names = [name for name, bit in SYSTEM_FLAGS.items() if word & bit]
        if self._is_recent:
            names.append("\\Recent")
        for index, keyword in enumerate(self._keywords):
            if keyword and word >> (FIRST_KEYWORD_BIT + index) & 1:
                names.append(keyword)
        return names


@lru_cache(maxsize=64)
def _words(keywords: tuple[str, ...], *, is_recent: bool) -> _Words:
    return _Words(keywords, is_recent=is_recent)


def flag_mask(names: Collection[str], keywords: tuple[str, ...]) -> int:
    """The bits of some flags in the words of a keyword table; keywords compare without case."""
    mask = 0
    lower = [keyword.lower() for keyword in keywords]
    for name in names:
        if name in SYSTEM_FLAGS:
            mask |= int(SYSTEM_FLAGS[name])  # the complement of a Flag knows no keywords
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
