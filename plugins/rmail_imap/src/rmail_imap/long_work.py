"""Long commands take turns: of SEARCH, SORT and THREAD that have much to look at, few are under way
in a process, and of those who wait each account has one in its turn. Short ones never wait.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from rmail_imap.ordering import AT_ONCE
from rmail_imap.parse.search import (
    AllOf,
    AnyOf,
    Fuzzy,
    Key,
    Leaf,
    Negated,
    SearchArgs,
    Within,
)
from rmail_imap.session import Session
from rmail_kernel.storage import search as query

T = TypeVar("T")
MOST_SEEN: Final = 20_000
"""Messages whose flags and numbers are looked at in no time worth waiting for."""
_OF_VIEW: Final = (query.All, query.HasFlag, query.UidIn)
_OF_COLUMNS: Final = (query.Arrived, query.Dated, query.Sized, query.ModifiedSince)


async def in_turn(session: Session, work: Callable[[], Awaitable[T]], *, is_long: bool) -> T:
    """What `work` gives, which must not change anything. It ends when the client is gone.

    Args:
        is_long: it waits for its turn.

    Raises:
        Disconnected: the client is gone; and whatever `work` raises.
    """
    if not is_long:
        return await session.wire.unless_lost(work())
    await session.wire.flush()  # what was answered before need not wait

    async def waiting() -> T:
        async with session.lanes.place(session.account):
            return await work()

    return await session.wire.unless_lost(waiting())


async def beside(session: Session, count: int, work: Callable[[], T]) -> T:
    """What `work` on so many messages gives; others run while it takes long."""
    return work() if count <= AT_ONCE else await session.kernel.run(work)


def is_long(session: Session, args: SearchArgs, *, is_ordered: bool = False) -> bool:
    """Whether a search may take longer than others should wait.

    Args:
        is_ordered: the messages are to be sorted or threaded.
    """
    total = session.mailbox.total
    most = AT_ONCE if is_ordered else MOST_SEEN
    return total > min(most, _most(args.key))


def _most(key: Key) -> int:
    """In a mailbox of how many messages the key is looked up in no time."""
    match key:
        case Leaf(node) if isinstance(node, _OF_VIEW):
            return MOST_SEEN
        case Within():
            return AT_ONCE
        case Leaf(node):
            return AT_ONCE if isinstance(node, _OF_COLUMNS) else 0
        case AllOf(parts) | AnyOf(parts):
            return min(map(_most, parts))
        case Negated(part) | Fuzzy(part):
            return _most(part)
        case _:
            return MOST_SEEN
