"""MOVE and UID MOVE (RFC 6851)."""

from __future__ import annotations

from rmail_imap import write
from rmail_imap.command.copy import CopyArgs, copy_args, copy_code, target_mailbox
from rmail_imap.command.expunge import writable
from rmail_imap.commands import Reply, command
from rmail_imap.session import Session
from rmail_imap.state import State


@command("MOVE", copy_args, state=State.SELECTED, uid=True, capability="MOVE", rfc="6851 3.1")
async def move(session: Session, args: CopyArgs) -> Reply:
    """Moves messages, all or none. COPYUID comes untagged, before EXPUNGE (RFC 6851 4.3)."""
    selected = writable(session)
    uids = selected.uids_at(selected.resolve(args.messages))
    target = await target_mailbox(session, args.mailbox)
    if not uids:
        return Reply("Nothing to move")
    result = await session.mail.move(session.account, selected.id, uids, target.id)
    code = copy_code(session, result)
    if code:
        session.write(write.status(b"* OK", "Moved", code) + b"\r\n")
    return Reply(tells_modseq=bool(result.source))  # RFC 7162 3.2: MOVE expunges too
