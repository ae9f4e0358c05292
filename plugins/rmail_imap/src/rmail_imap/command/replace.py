"""REPLACE and UID REPLACE (RFC 8508): a new message comes and the old one goes, both or neither."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.command.append import appended_code, store, tell_normal_name
from rmail_imap.command.expunge import writable
from rmail_imap.commands import Reply, command
from rmail_imap.errors import BadSyntax, Refused
from rmail_imap.parse.append import AppendArgs, append_args
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.sets import STAR, NumberSet
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.uploads import receive, refusing
from rmail_kernel.storage.mail import Fetched, Field


@dataclass(frozen=True, slots=True)
class ReplaceArgs:
    """REPLACE seq-number mailbox, and the message."""

    number: NumberSet
    append: AppendArgs


def replace_args(cursor: Cursor) -> ReplaceArgs:
    """The arguments of REPLACE up to the announcement of its message."""
    cursor.space()
    number = STAR if cursor.skip(b"*") else cursor.number() or None
    if number is None:
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
        old = await _old(session, selected, args.number)
    items = await receive(session, args.append.mailbox, args.append.message, most=1, replaces=old)
    items = [dataclasses.replace(one, replaces=(selected.id, old.uid)) for one in items]
    stored = await store(session, items)
    tell_normal_name(session, args.append.mailbox)
    code = appended_code(session, stored)
    if code:
        session.write(write.status(b"* OK", "Replaced", code) + b"\r\n")
    return Reply(tells_modseq=True)  # RFC 8508 4.5


async def _old(session: Session, selected: Selected, number: NumberSet) -> Fetched:
    uids = selected.uids_at(selected.resolve(number))
    async for some in session.mail.fetch(session.account, selected.id, uids, Field.NONE):
        for one in some:
            return one
    raise Refused("There is no such message", b"NONEXISTENT")
