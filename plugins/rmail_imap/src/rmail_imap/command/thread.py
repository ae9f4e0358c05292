"""THREAD and UID THREAD (RFC 5256 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import islice
from typing import Final

from rmail_imap.command.search import write_pieces
from rmail_imap.commands import Reply, command, feature
from rmail_imap.long_work import beside, in_turn, is_long
from rmail_imap.parse.sort import ThreadArgs, thread_args
from rmail_imap.searching import find, located
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.threads import Forest, Members, ordered_subject, references, refs
from rmail_kernel.storage.mail import Column, Columns

feature("THREAD=ORDEREDSUBJECT", "5256 3")
feature("THREAD=REFERENCES", "5256 3")
feature("THREAD=REFS", "5256 3")

_ALGORITHMS: Final[dict[str, Callable[[Members], Forest]]] = {
    "ORDEREDSUBJECT": ordered_subject,
    "REFERENCES": references,
    "REFS": refs,
}
_SUBJECTS: Final = (Column.SENT, Column.SUBJECT)
_LINKS: Final = (Column.SENT, Column.MESSAGE_ID, Column.REFERENCES)
_COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "ORDEREDSUBJECT": _SUBJECTS,
    "REFERENCES": (*_LINKS, Column.SUBJECT, Column.IS_REPLY),
    "REFS": (*_LINKS, Column.ARRIVAL),
}
_PIECE: Final = 8000
"""Parts of the response that are sent together."""


@command("THREAD", thread_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="5256 3")
async def thread(session: Session, args: ThreadArgs) -> Reply:
    """The messages that match, gathered into threads."""
    long = is_long(session, args.search, is_ordered=True)
    pieces = await in_turn(session, partial(_threaded, session, args), is_long=long)
    if args.search.has_modseq:
        session.use_condstore()  # RFC 7162 3.1.9: the response itself has no MODSEQ
    await write_pieces(session, pieces)
    return Reply(holds_expunges=args.search.has_numbers)  # as with SEARCH


async def _threaded(session: Session, args: ThreadArgs) -> list[bytes]:
    found = await find(session, args.search)
    wanted = _COLUMNS[args.algorithm]
    columns = await session.mail.columns(session.account, session.mailbox.id, found.uids, wanted)
    make = partial(_make, session.mailbox, args, columns, wanted)
    return await beside(session, len(columns.uids), make)


def _make(
    selected: Selected, args: ThreadArgs, columns: Columns, wanted: Sequence[Column]
) -> list[bytes]:
    """The response."""
    values = dict(zip(wanted, columns.values, strict=True))
    members = Members(
        sent=values[Column.SENT],
        arrived=values.get(Column.ARRIVAL, ()),
        message_ids=values.get(Column.MESSAGE_ID, ()),
        references=values.get(Column.REFERENCES, ()),
        subjects=values.get(Column.SUBJECT, ()),
        are_replies=values.get(Column.IS_REPLY, ()),
    )
    forest = _ALGORITHMS[args.algorithm](members)
    names = located(selected, columns.uids, args.search.is_uid).names
    parts = forest.pieces(names)
    pieces = [b"* THREAD ", *iter(lambda: b"".join(islice(parts, _PIECE)), b"")]
    return [*pieces, b"\r\n"] if len(pieces) > 1 else [b"* THREAD\r\n"]
