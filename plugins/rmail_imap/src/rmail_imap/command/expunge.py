"""EXPUNGE (RFC 3501 6.4.3) and UID EXPUNGE (RFC 4315 2.1)."""

from __future__ import annotations

from rmail_imap.commands import Reply, command, feature
from rmail_imap.parse.cursor import Cursor
from rmail_imap.parse.sets import NumberSet, number_set
from rmail_imap.selected import Selected
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import ReadOnly

feature("UIDPLUS", "4315")


def expunge_args(cursor: Cursor) -> NumberSet | None:
    """Nothing, or a set of UIDs in the UID form."""
    messages = None
    if cursor.is_uid:
        cursor.check("EXPUNGE")
        cursor.space()
        messages = number_set(cursor)
    cursor.end()
    return messages


def writable(session: Session) -> Selected:
    """The selected mailbox. ReadOnly: it was opened by EXAMINE."""
    if session.mailbox.is_read_only:
        raise ReadOnly("The mailbox is open for reading only")
    return session.mailbox


@command("EXPUNGE", expunge_args, state=State.SELECTED, uid=True, rfc="3501 6.4.3, 4315 2.1")
async def expunge(session: Session, messages: NumberSet | None) -> Reply | None:
    """Removes what is marked \\Deleted; the numbers are told before the tagged OK."""
    selected = writable(session)
    uids = None if messages is None else selected.uids_at(selected.resolve(messages))
    if uids is not None and not uids:
        return None
    gone, _ = await session.mail.expunge(session.account, selected.id, uids)
    return Reply(tells_modseq=bool(gone))  # RFC 7162 3.2.7, 3.2.9
