"""SEARCH and UID SEARCH (RFC 3501 6.4.4), with results of RFC 4731, RFC 5182 and RFC 9394."""

from __future__ import annotations

from array import array
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Final

from rmail_imap.commands import Reply, command, feature
from rmail_imap.errors import BadSyntax
from rmail_imap.long_work import beside, in_turn, is_long
from rmail_imap.ordering import AT_ONCE
from rmail_imap.parse.returns import Returns
from rmail_imap.parse.search import SearchArgs, search_args
from rmail_imap.results import Results
from rmail_imap.searching import Found, find, newest_modseq, scores
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import RmailError
from rmail_kernel.turns import Pace

feature("ESEARCH", "4731 3.1")
feature("I18NLEVEL=1", "5255 4.3")  # texts compare as the store folds them
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
    returns = args.returns or (_ALL if session.is_rev2 else None)  # RFC 9051 6.4.4
    with emptied_by_no(session.mailbox, args):
        finding = partial(find, session, args)
        making = partial(find_and_tell, session, args, returns, b"SEARCH", finding)
        answer = await in_turn(session, making, is_long=is_long(session, args))
    await give(session, args, answer)
    return reply


@dataclass(frozen=True, slots=True)
class Answer:
    """What was found in its wire form, and the messages `$` is to stand for, if it is to."""

    pieces: Sequence[bytes]
    saved: Sequence[int] | None = None


async def find_and_tell(
    session: Session,
    args: SearchArgs,
    returns: Returns | None,
    name: bytes,
    finding: Callable[[], Awaitable[Found]],
) -> Answer:
    """Searches, and makes the response; nothing is written yet.

    Args:
        returns: None: a response called `name`, otherwise ESEARCH.
        finding: gives the messages in the order asked for.
    """
    found = await finding()
    if returns is not None:
        return await _extended(session, args, returns, found)
    modseq = 0
    if args.has_modseq:
        modseq = await newest_modseq(session, found.ascending)
    return Answer(await list_pieces(name, found.names, modseq))


async def give(session: Session, args: SearchArgs, answer: Answer) -> None:
    """Writes the response; what it is about is `$` from now on, if it is to be."""
    if args.has_modseq:
        session.use_condstore()
    if answer.saved is not None:
        session.mailbox.saved = answer.saved
    await write_pieces(session, answer.pieces)


async def list_pieces(name: bytes, numbers: Sequence[int], modseq: int) -> list[bytes]:
    """The response SEARCH or SORT with numbers or UIDs. They are made before the first of them
    is sent: a client that does not read makes the server keep these few bytes and not what they
    were made of.
    """
    pieces = [b"* " + name]
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


async def _extended(session: Session, args: SearchArgs, returns: Returns, found: Found) -> Answer:
    """The ESEARCH response, and `$`."""
    count = len(found.uids)
    found_scores: dict[int, int] = {}
    if "RELEVANCY" in returns.options:
        found_scores = await scores(session, args, [*found.ascending])
    results = Results(found, returns, found_scores)
    saved, modseq = None, 0
    if args.has_modseq or "SAVE" in returns.options:
        uids = await beside(session, count, results.of_response)
        modseq = await newest_modseq(session, uids) if args.has_modseq else 0
        saved = array("I", uids) if "SAVE" in returns.options else None
    if returns.options == {"SAVE"}:  # RFC 5182 2.1: with SAVE alone there is no response
        return Answer((), saved)
    make = partial(results.response, session.raw_tag, is_uid=args.is_uid, modseq=modseq)
    return Answer([await beside(session, count, make), b"\r\n"], saved)
