"""SEARCH and UID SEARCH (RFC 3501 6.4.4), with results of RFC 4731 and RFC 5182."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from rmail_imap import write
from rmail_imap.commands import command, feature
from rmail_imap.errors import Refused
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
from rmail_kernel.storage.ids import Uid
from rmail_kernel.storage.mail import Field
from rmail_kernel.storage.search import And, Not, Or, SearchNode, UidIn

feature("ESEARCH", "4731 3.1")
feature("SEARCHRES", "5182 2.1")


@command(
    "SEARCH", search_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="3501 6.4.4"
)
async def search(session: Session, args: SearchArgs) -> None:
    """Numbers or UIDs of the messages that match, among those the client knows."""
    selected = session.mailbox
    returns = args.returns or frozenset()
    if "SAVE" in returns and not args.is_charset_known:
        selected.saved = ()  # RFC 5182 2.1: a NO empties it, a BAD leaves it
    if not args.is_charset_known:
        raise Refused("Unknown charset", b"BADCHARSET (US-ASCII UTF-8)")
    node = resolve(args.key, selected)
    if "SAVE" in returns:
        selected.saved = ()
    rows = selected.numbered(await session.mail.search(session.account, selected.id, node))
    numbers = [uid if args.is_uid else number for number, uid in rows]
    modseq = 0
    if args.has_modseq:
        session.use_condstore()
        modseq = await _newest(session, _of_response([Uid(uid) for _, uid in rows], returns))
    if args.returns is None:
        words = " ".join(map(str, numbers)).encode()
        more = b" (MODSEQ %d)" % modseq if modseq else b""
        session.write(b" ".join([b"* SEARCH", words]).rstrip() + more + b"\r\n")
        return
    if "SAVE" in returns:
        selected.saved = _of_response([Uid(uid) for _, uid in rows], returns)
    if returns != {"SAVE"}:  # RFC 5182 2.1: with SAVE alone there is no response
        raw = _response(session.raw_tag, numbers, returns, is_uid=args.is_uid)
        more = b" MODSEQ %d" % modseq if modseq else b""
        session.write(raw + more + b"\r\n")


async def _newest(session: Session, uids: list[Uid]) -> int:
    """The highest MODSEQ of these messages (RFC 7162 3.1.5, 3.1.10); 0 of none."""
    newest = 0
    async for batch in session.mail.fetch(session.account, session.mailbox.id, uids, Field.NONE):
        newest = max([newest, *(row.modseq for row in batch)])
    return newest


def _of_response(uids: list[Uid], returns: frozenset[str]) -> list[Uid]:
    """The messages that the results are about: with MIN and MAX alone no others. They are what
    `$` stands for (RFC 5182 2.4) and whose MODSEQ is told (RFC 7162 3.1.10).
    """
    ends = returns & {"MIN", "MAX"}
    if not uids or not ends or returns & {"ALL", "COUNT"}:
        return uids
    first, last = uids[0], uids[-1]
    return sorted({*([first] if "MIN" in ends else []), *([last] if "MAX" in ends else [])})


def _response(
    raw_tag: bytes, numbers: list[int], returns: frozenset[str], *, is_uid: bool
) -> bytes:
    """The ESEARCH response (RFC 4731 3.1); of MIN, MAX and ALL none when nothing matched."""
    pieces = [b"* ESEARCH (TAG %b)" % write.string(raw_tag)]
    if is_uid:
        pieces.append(b"UID")
    if numbers and "MIN" in returns:
        pieces.append(b"MIN %d" % numbers[0])
    if numbers and "MAX" in returns:
        pieces.append(b"MAX %d" % numbers[-1])
    if numbers and "ALL" in returns:
        pieces.append(b"ALL " + write.number_set(numbers))
    if "COUNT" in returns:
        pieces.append(b"COUNT %d" % len(numbers))
    return b" ".join(pieces)


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
