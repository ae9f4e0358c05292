"""THREAD and UID THREAD (RFC 5256 3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from rmail_imap.collation import collation_key
from rmail_imap.command.sort import batches
from rmail_imap.commands import Reply, command, feature
from rmail_imap.ordering import AT_ONCE
from rmail_imap.parse.sort import ThreadArgs, thread_args
from rmail_imap.searching import find
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.threads import Forest, Member, ordered_subject, references, refs
from rmail_kernel.storage.mail import Fetched, Field

feature("THREAD=ORDEREDSUBJECT", "5256 3")
feature("THREAD=REFERENCES", "5256 3")
feature("THREAD=REFS", "5256 3")

_ALGORITHMS: Final[dict[str, Callable[[Sequence[Member]], Forest]]] = {
    "ORDEREDSUBJECT": ordered_subject,
    "REFERENCES": references,
    "REFS": refs,
}


@command("THREAD", thread_args, state=State.SELECTED, uid=True, tells_expunge=False, rfc="5256 3")
async def thread(session: Session, args: ThreadArgs) -> Reply:
    """The messages that match, gathered into threads."""
    rows = {uid: number for number, uid in await find(session, args.search)}
    if args.search.has_modseq:
        session.use_condstore()  # RFC 7162 3.1.9: the response itself has no MODSEQ
    members: list[Member] = []
    names: list[int] = []
    async for batch in batches(session, list(rows), Field.KEYS):
        members += [_member(message, args.algorithm) for message in batch]
        names += [message.uid if args.search.is_uid else rows[message.uid] for message in batch]
    make = partial(_ALGORITHMS[args.algorithm], members)
    forest = make() if len(members) <= AT_ONCE else await session.kernel.run(make)
    await _write(session, forest, names)
    return Reply(holds_expunges=args.search.has_numbers)  # as with SEARCH


def _member(message: Fetched, algorithm: str) -> Member:
    keys = message.keys
    assert keys is not None
    at = message.internal_date if algorithm == "REFS" else keys.sent_at
    subject = collation_key(keys.base_subject)
    return Member(keys.message_id, keys.references, subject, keys.is_reply, at.timestamp())


async def _write(session: Session, forest: Forest, names: Sequence[int]) -> None:
    session.write(b"* THREAD")
    if forest.roots:
        session.write(b" ")
    gathered: list[bytes] = []
    for piece in forest.pieces(names):
        gathered.append(piece)
        if len(gathered) >= 8000:
            session.write(b"".join(gathered))
            gathered.clear()
            await session.flush_full()
    session.write(b"".join([*gathered, b"\r\n"]))
