"""REPLACE and UID REPLACE (RFC 8508): a new message comes, then the old one goes."""

from __future__ import annotations

from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.command.append import appended_code, store
from rmail_imap.command.expunge import writable
from rmail_imap.commands import Reply, command
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.append import AppendArgs, append_args
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.sets import NumberSet
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.uploads import receive, refusing


@dataclass(frozen=True, slots=True)
class ReplaceArgs:
    """REPLACE number mailbox, and the message."""

    number: NumberSet
    append: AppendArgs


def replace_args(cursor: Cursor) -> ReplaceArgs:
    """The arguments of REPLACE up to the announcement of its message."""
    cursor.space()
    number = cursor.number()
    if not number:
        raise BadSyntax("Messages count from 1")
    return ReplaceArgs(NumberSet(((number, number),), cursor.is_uid), append_args(cursor))


@command(
    "REPLACE",
    replace_args,
    state=State.SELECTED,
    uid=True,
    capability="REPLACE",
    streams=True,
    rfc="8508 3",
)
async def replace(session: Session, args: ReplaceArgs) -> Reply:
    """Appends, tells APPENDUID untagged, and expunges (RFC 8508 4.3). A message that cannot be
    stored leaves the old one where it is.
    """
    async with refusing(session, args.append.message):
        selected = writable(session)
        uids = selected.uids_at(selected.resolve(args.number))
        if not uids:
            raise Refused("There is no such message", b"NONEXISTENT")
    items = await receive(session, args.append.mailbox, args.append.message, most=1)
    stored = await store(session, items)
    session.write(write.status(b"* OK", "Replaced", appended_code(stored)) + b"\r\n")
    gone, _ = await session.mail.expunge(session.account, selected.id, uids, only_deleted=False)
    return Reply(tells_modseq=bool(gone))  # RFC 8508 4.5
