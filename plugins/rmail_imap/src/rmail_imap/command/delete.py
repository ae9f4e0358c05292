"""DELETE (RFC 3501 6.3.4)."""

from __future__ import annotations

from rmail_imap import write
from rmail_imap.command.select import mailbox_args
from rmail_imap.commands import command
from rmail_imap.session import Session
from rmail_imap.state import State


@command("DELETE", mailbox_args, state=State.AUTHENTICATED, rfc="3501 6.3.4")
async def delete(session: Session, name: str) -> None:
    """Deletes a mailbox; the ones below it stay. Deselects it if it is the selected one."""
    status = await session.mail.status(session.account, name)
    await session.mail.delete(session.account, name)
    if session.is_rev2 and status.name != name:  # RFC 9051 6.3.5
        more = write.old_name(name, is_utf8=True)
        gone = ("\\NonExistent",)
        session.write(write.list_line(b"LIST", gone, status.name, more, is_utf8=True))
    if session.selected is not None and session.selected.id == status.id:
        session.selected = None
