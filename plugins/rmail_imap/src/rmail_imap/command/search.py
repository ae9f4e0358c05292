"""SEARCH and UID SEARCH (RFC 3501 6.4.4)."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from rmail_imap.commands import command
from rmail_imap.parse.search import (
    AllOf,
    AnyOf,
    Key,
    Leaf,
    Negated,
    Numbers,
    Recent,
    SearchArgs,
    search_args,
)
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.storage.search import And, Not, Or, SearchNode, UidIn


@command(
    "SEARCH", search_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="3501 6.4.4"
)
async def search(session: Session, args: SearchArgs) -> None:
    """Numbers or UIDs of the messages that match, among those the client knows."""
    selected = session.mailbox
    node = resolve(args.key, selected)
    uids = await session.mail.search(session.account, selected.id, node)
    rows = selected.numbered(uids)
    numbers = [uid for _, uid in rows] if args.is_uid else [number for number, _ in rows]
    session.write(b" ".join([b"* SEARCH", " ".join(map(str, numbers)).encode()]).rstrip() + b"\r\n")


def resolve(key: Key, selected: Selected) -> SearchNode:
    """The key in the store's words, with this session's numbers and \\Recent."""
    match key:
        case Leaf(node):
            return node
        case Numbers(numbers):
            places = selected.resolve(numbers, is_search=True)
            uids = selected.uids
            return UidIn(tuple((uids[span.start], uids[span.stop - 1]) for span in places))
        case Recent():
            return UidIn(tuple(_ranges(sorted(selected.recent))))
        case AllOf(parts):
            return And(tuple(resolve(part, selected) for part in parts))
        case AnyOf(parts):
            return Or(tuple(resolve(part, selected) for part in parts))
        case Negated(part):
            return Not(resolve(part, selected))


def _ranges(ascending: list[int]) -> Iterable[tuple[int, int]]:
    if not ascending:
        return
    start = ascending[0]
    for one, other in pairwise(ascending):
        if other != one + 1:
            yield start, one
            start = other
    yield start, ascending[-1]
