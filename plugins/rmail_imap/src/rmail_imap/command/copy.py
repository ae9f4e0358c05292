"""COPY and UID COPY (RFC 3501 6.4.7) with COPYUID (RFC 4315 3)."""

from __future__ import annotations

from dataclasses import dataclass

from rmail_imap import write
from rmail_imap.commands import Reply, command
from rmail_imap.errors import Refused
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.sets import NumberSet, number_set
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import NotFound
from rmail_kernel.storage.mail import CopyResult, MailboxStatus


@dataclass(frozen=True, slots=True)
class CopyArgs:
    """COPY set mailbox; MOVE has the same."""

    messages: NumberSet
    mailbox: str


def copy_args(cursor: Cursor) -> CopyArgs:
    """The arguments of COPY and MOVE."""
    cursor.space()
    messages = number_set(cursor)
    cursor.space()
    mailbox = cursor.mailbox()
    cursor.end()
    return CopyArgs(messages, mailbox)


@command("COPY", copy_args, state=State.SELECTED, uid=True, rfc="3501 6.4.7")
async def copy(session: Session, args: CopyArgs) -> Reply:
    """Copies messages, all or none."""
    selected = session.mailbox
    uids = selected.uids_at(selected.resolve(args.messages))
    target = await target_mailbox(session, args.mailbox)
    if not uids:
        return Reply("Nothing to copy")
    try:
        result = await session.mail.copy(
            session.account, selected.id, uids, target.id, needs_all=not args.messages.is_uid
        )
    except NotFound as error:
        if "expunged" not in error.fields:
            raise
        # RFC 9051 6.4.7: no partial copy. A UID that is gone is ignored (RFC 9051 6.4.9).
        raise Refused("Some of the messages were expunged", b"EXPUNGEISSUED") from error
    return Reply(code=copy_code(session, result))


async def target_mailbox(session: Session, name: str) -> MailboxStatus:
    """The mailbox to copy to. Refused [TRYCREATE]: there is none (RFC 3501 6.4.7)."""
    try:
        return await session.mail.status(session.account, name)
    except NotFound as error:
        raise Refused("There is no such mailbox", b"TRYCREATE") from error


def copy_code(session: Session, result: CopyResult) -> bytes:
    """COPYUID; b"" when every message had vanished (RFC 4315 3)."""
    if not result.source or "UIDPLUS" in session.off:
        return b""
    sets = (write.number_set(result.source), write.number_set(result.target))
    return b"COPYUID %d %b %b" % (result.uidvalidity, *sets)
