"""SEARCH and UID SEARCH (RFC 3501 6.4.4), with results of RFC 4731, RFC 5182 and RFC 9394."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from rmail_imap.commands import Reply, command, feature
from rmail_imap.errors import BadSyntax
from rmail_imap.ordering import AT_ONCE
from rmail_imap.parse.returns import Returns
from rmail_imap.parse.search import SearchArgs, search_args
from rmail_imap.results import Results, Row
from rmail_imap.searching import find, find_numbers, newest_modseq, scores
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import RmailError
from rmail_kernel.storage.ids import Uid
from rmail_kernel.turns import Pace

feature("ESEARCH", "4731 3.1")
feature("SEARCHRES", "5182 2.1")
feature("SEARCH=FUZZY", "6203 3")
feature("WITHIN", "5032 2")


_ALL: Final = Returns(frozenset({"ALL"}))


@command(
    "SEARCH", search_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="3501 6.4.4"
)
async def search(session: Session, args: SearchArgs) -> Reply:
    """Numbers or UIDs of the messages that match, among those the client knows."""
    # RFC 7162 3.2.10.2, RFC 9051 7.5.1: the UID form may tell expunges only if it has no numbers.
    reply = Reply(holds_expunges=args.has_numbers)
    with emptied_by_no(session.mailbox, args):
        returns = args.returns or (_ALL if session.is_rev2 else None)  # RFC 9051 6.4.4
        if returns is not None:
            await write_results(session, args, returns, await find(session, args))
            return reply
        pieces = await _found(session, args)
    session.write(b"* SEARCH")
    await write_pieces(session, pieces)
    return reply


async def _found(session: Session, args: SearchArgs) -> list[bytes]:
    if not args.has_modseq:
        return await list_pieces(await find_numbers(session, args))
    rows = await find(session, args)
    modseq = await told_modseq(session, args, [Uid(uid) for _, uid in rows])
    return await list_pieces([row[args.is_uid] for row in rows], modseq)


async def list_pieces(numbers: Sequence[int], modseq: int = 0) -> list[bytes]:
    """The numbers or UIDs of SEARCH or SORT to its line end. They are made before the first of them
    is sent: a client that does not read makes the server keep these few bytes and not what they
    were made of.
    """
    pieces: list[bytes] = []
    pace = Pace()
    for start in range(0, len(numbers), AT_ONCE):
        piece = tuple(numbers[start : start + AT_ONCE])
        pieces.append(b" %d" * len(piece) % piece)
        await pace.breathe()
    # RFC 7162 3.1.5, 3.1.9
    return [*pieces, b" (MODSEQ %d)\r\n" % modseq if modseq else b"\r\n"]


async def write_pieces(session: Session, pieces: Sequence[bytes]) -> None:
    """Writes a long response, others running in between."""
    for piece in pieces:
        session.write(piece)
        await session.flush_full()


@contextmanager
def emptied_by_no(selected: Selected, args: SearchArgs) -> Iterator[None]:
    """With SAVE, a NO empties what `$` stands for, and a BAD leaves it (RFC 5182 2.1)."""
    try:
        yield
    except BadSyntax:
        raise
    except RmailError:
        if args.returns is not None and "SAVE" in args.returns.options:
            selected.saved = ()
        raise


async def write_results(
    session: Session, args: SearchArgs, returns: Returns, rows: Sequence[Row]
) -> None:
    """The ESEARCH response, and `$`."""
    found_scores: dict[int, int] = {}
    if "RELEVANCY" in returns.options:
        found_scores = await scores(session, args, sorted(uid for _, uid in rows))
    results = Results(rows, returns, found_scores)
    modseq = await told_modseq(session, args, results.of_response())
    if "SAVE" in returns.options:
        session.mailbox.saved = results.of_response()
    if returns.options != {"SAVE"}:  # RFC 5182 2.1: with SAVE alone there is no response
        raw = results.response(session.raw_tag, is_uid=args.is_uid, modseq=modseq)
        session.write(raw + b"\r\n")


async def told_modseq(session: Session, args: SearchArgs, uids: list[Uid]) -> int:
    """The newest MODSEQ of the messages, where MODSEQ was among the keys; otherwise 0."""
    if not args.has_modseq:
        return 0
    session.use_condstore()
    return await newest_modseq(session, uids)
