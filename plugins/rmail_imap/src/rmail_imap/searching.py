"""Search keys in the store's words: message numbers, \\Recent, intervals and FUZZY are resolved for
one session. RFC 3501 6.4.4, RFC 5032, RFC 6203.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Final

from rmail_imap.errors import Refused
from rmail_imap.ordering import AT_ONCE
from rmail_imap.parse.search import (
    AllOf,
    AnyOf,
    Fuzzy,
    Key,
    Leaf,
    Negated,
    Numbers,
    Recent,
    SearchArgs,
    Within,
)
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.search import (
    And,
    Arrived,
    Body,
    Header,
    Not,
    Or,
    SearchNode,
    Text,
    UidIn,
)
from rmail_kernel.turns import rest

_EARLIEST: Final = datetime.min.replace(tzinfo=UTC)
_WORD: Final = re.compile(r"\w+")
_MAX_WORDS: Final = 8
_STEM_CHARS: Final = 4


def _words(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_WORD.findall(text)))[:_MAX_WORDS] or (text,)


def _stems(text: str) -> tuple[str, ...]:
    """Beginnings of the words, which their other forms have too."""
    return tuple(word[: max(_STEM_CHARS, len(word) * 2 // 3)] for word in _words(text))


_LEVELS: Final[tuple[tuple[int, Callable[[str], tuple[str, ...]]], ...]] = (
    (100, lambda text: (text,)),
    (67, _words),
    (33, _stems),
)
"""How well text can match under FUZZY, from exactly on: the score, and what must be found of it."""


@dataclass(frozen=True, slots=True)
class Resolver:
    """Resolves keys for one search.

    Attributes:
        needles: what of a text must be found where it is searched for with FUZZY.
    """

    selected: Selected
    now: datetime
    needles: Callable[[str], tuple[str, ...]]
    is_fuzzy: bool = False

    def resolve(self, key: Key) -> SearchNode:
        """The key in the store's words."""
        match key:
            case Leaf(node):
                return self._loosened(node) if self.is_fuzzy else node
            case Numbers(numbers):
                places = self.selected.resolve(numbers, is_search=True)
                uids = self.selected.uids
                return UidIn(tuple((uids[span.start], uids[span.stop - 1]) for span in places))
            case Recent():
                return UidIn(tuple(_ranges(sorted(self.selected.recent))))
            case Within(op, interval_s):
                return Arrived(op, _before(self.now, interval_s))
            case AllOf(parts):
                return And(tuple(self.resolve(part) for part in parts))
            case AnyOf(parts):
                return Or(tuple(self.resolve(part) for part in parts))
            case Negated(part):
                return Not(self.resolve(part))
            case Fuzzy(part):
                return replace(self, is_fuzzy=True).resolve(part)

    def _loosened(self, node: SearchNode) -> SearchNode:
        """Keys that are no text match exactly under FUZZY, too (RFC 6203 5)."""
        if not isinstance(node, Header | Body | Text):
            return node
        parts: list[SearchNode]
        if isinstance(node, Header):
            parts = [Header(node.name, piece) for piece in self.needles(node.text)]
        else:
            parts = [type(node)(piece) for piece in self.needles(node.text)]
        return parts[0] if len(parts) == 1 else And(tuple(parts))


async def find(session: Session, args: SearchArgs) -> list[tuple[int, int]]:
    """Number and UID of the messages that match, among those the client knows, ascending.

    Raises:
        Refused: the charset is unknown (RFC 3501 6.4.4).
    """
    return session.mailbox.numbered(await _matching(session, args))


async def find_numbers(session: Session, args: SearchArgs) -> list[int]:
    """Only the numbers, or for the UID form the UIDs, of what `find` gives; in less time and room.

    Raises:
        Refused: the charset is unknown (RFC 3501 6.4.4).
    """
    found = await _matching(session, args)
    return session.mailbox.known_of(found) if args.is_uid else session.mailbox.numbers_of(found)


async def _matching(session: Session, args: SearchArgs) -> list[Uid]:
    if not args.is_charset_known:
        raise Refused("Unknown charset", b"BADCHARSET (US-ASCII UTF-8)")
    loosest = _Levels(session, args).node(len(_LEVELS) - 1)
    searching = session.mail.search(session.account, session.mailbox.id, loosest)
    found = await session.wire.unless_lost(searching)
    if len(found) > AT_ONCE:
        await rest()
    return found


async def scores(session: Session, args: SearchArgs, uids: list[int]) -> dict[int, int]:
    """How well the messages found match, 1 to 100 (RFC 6203 4)."""
    levels, last = _Levels(session, args), len(_LEVELS) - 1
    found = dict.fromkeys(uids, _LEVELS[last][0])
    better = uids
    for level in range(last - 1, -1, -1):
        node = levels.node(level)
        if node != levels.node(level + 1):
            asked = And((UidIn(tuple(_ranges(uids))), node))
            better = list(await session.mail.search(session.account, session.mailbox.id, asked))
        found.update((uid, _LEVELS[level][0]) for uid in better)
    return found


async def newest_modseq(session: Session, uids: list[Uid]) -> int:
    """The highest MODSEQ of these messages (RFC 7162 3.1.5, 3.1.10); 0 of none."""
    newest = 0
    async for batch in session.mail.fetch(session.account, session.mailbox.id, uids, Field.NONE):
        newest = max([newest, *(row.modseq for row in batch)])
    return newest


class _Levels:
    """What one search asks for at each level of _LEVELS."""

    def __init__(self, session: Session, args: SearchArgs) -> None:
        self._selected = session.mailbox
        self._now = session.kernel.clock.now()
        self._key = args.key

    def node(self, level: int) -> SearchNode:
        """The keys in the store's words."""
        return Resolver(self._selected, self._now, _LEVELS[level][1]).resolve(self._key)


def _before(now: datetime, interval_s: int) -> datetime:
    """So long before; the beginning of the calendar if that is earlier."""
    seconds = min(interval_s, (now - _EARLIEST) // timedelta(seconds=1))
    return now - timedelta(seconds=seconds)


def _ranges(ascending: list[int]) -> Iterable[tuple[int, int]]:
    if not ascending:
        return
    start = ascending[0]
    for one, other in pairwise(ascending):
        if other != one + 1:
            yield start, one
            start = other
    yield start, ascending[-1]
