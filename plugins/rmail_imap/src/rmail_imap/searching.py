"""Search keys in the store's words: message numbers, \\Recent, intervals and FUZZY are resolved for
one session. RFC 3501 6.4.4, RFC 5032, RFC 6203.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from rmail_imap.errors import Refused
from rmail_imap.long_work import beside
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
from rmail_imap.ranges import runs
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_kernel.storage.mail import Column
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
                return UidIn(tuple(runs(sorted(self.selected.recent))))
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


@dataclass(frozen=True, slots=True)
class Found:
    """Messages that the client knows.

    Attributes:
        uids: in the order asked for.
        names: what the response calls them, numbers or UIDs, in that order.
        ascending: the UIDs once more.
    """

    uids: Sequence[int]
    names: Sequence[int]
    ascending: Sequence[int]


async def find(session: Session, args: SearchArgs) -> Found:
    """The messages that match, among those the client knows, ascending.

    Raises:
        Refused: the charset is unknown (RFC 3501 6.4.4).
    """
    if not args.is_charset_known:
        raise Refused("Unknown charset", b"BADCHARSET (US-ASCII UTF-8)")
    loosest = _Levels(session, args).node(len(_LEVELS) - 1)
    uids = await session.mail.search(session.account, session.mailbox.id, loosest)
    return await beside(session, len(uids), partial(located, session.mailbox, uids, args.is_uid))


def located(selected: Selected, uids: Sequence[int], is_uid: bool) -> Found:
    """Those of the ascending `uids` that the client knows."""
    numbers, known = selected.placed(uids)
    return Found(known, known if is_uid else numbers, known)


async def scores(session: Session, args: SearchArgs, uids: list[int]) -> dict[int, int]:
    """How well the messages found match, 1 to 100 (RFC 6203 4)."""
    levels, last = _Levels(session, args), len(_LEVELS) - 1
    found = dict.fromkeys(uids, _LEVELS[last][0])
    better = uids
    for level in range(last - 1, -1, -1):
        node = levels.node(level)
        if node != levels.node(level + 1):
            asked = And((UidIn(tuple(runs(uids))), node))
            better = list(await session.mail.search(session.account, session.mailbox.id, asked))
        found.update((uid, _LEVELS[level][0]) for uid in better)
    return found


async def newest_modseq(session: Session, uids: Sequence[int]) -> int:
    """The highest MODSEQ of these ascending messages (RFC 7162 3.1.5, 3.1.10); 0 of none."""
    found = await session.mail.columns(session.account, session.mailbox.id, uids, [Column.MODSEQ])
    return max(found.values[0], default=0)


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
