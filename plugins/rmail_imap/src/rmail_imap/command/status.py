"""STATUS (RFC 3501 6.3.10), with the sizes of RFC 8438."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from rmail_imap import write
from rmail_imap.commands import command, feature
from rmail_imap.parse.status import StatusArgs, status_args
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.storage.mail import Field, MailboxStatus
from rmail_kernel.storage.search import HasFlag

feature("STATUS=SIZE", "8438 2")
feature("APPENDLIMIT", "7889 2")

_COUNTERS: Final[dict[str, Callable[[MailboxStatus], int | str]]] = {
    "DELETED": lambda status: status.deleted,  # RFC 9208 5.2
    "HIGHESTMODSEQ": lambda status: max(1, status.highestmodseq),  # RFC 7162 3.1.7
    "MAILBOXID": lambda status: f"({status.objectid})",  # RFC 8474 4.3
    "MESSAGES": lambda status: status.total,
    "RECENT": lambda status: status.recent,
    "SIZE": lambda status: status.size_bytes,
    "UIDNEXT": lambda status: status.uidnext,
    "UIDVALIDITY": lambda status: status.uidvalidity,
    "UNSEEN": lambda status: status.unseen,
}


@command("STATUS", status_args, state=State.AUTHENTICATED, rfc="3501 6.3.10")
async def status(session: Session, args: StatusArgs) -> None:
    """Counters of a mailbox without selecting it."""
    if "HIGHESTMODSEQ" in args.items:
        session.use_condstore()
    found = await session.mail.status(session.account, args.mailbox)
    session.write(await status_line(session, args.mailbox, found, args.items))


async def status_line(
    session: Session, name: str, found: MailboxStatus, items: tuple[str, ...]
) -> bytes:
    """The STATUS response."""
    numbers = [await _number(session, found, item) for item in items]
    values = " ".join(f"{item} {number}" for item, number in zip(items, numbers, strict=True))
    return b"* STATUS %b (%b)\r\n" % (write.mailbox(name, is_utf8=session.is_utf8), values.encode())


async def _number(session: Session, found: MailboxStatus, item: str) -> int | str:
    if item == "APPENDLIMIT":
        return session.settings.max_message_bytes  # RFC 7889 3: one for all mailboxes
    if item == "DELETED-STORAGE":
        return await _deleted_bytes(session, found) if found.deleted else 0
    return _COUNTERS[item](found)


async def _deleted_bytes(session: Session, found: MailboxStatus) -> int:
    """What EXPUNGE would free (RFC 9208 4.1.4)."""
    total = 0
    uids = await session.mail.search(session.account, found.id, HasFlag("\\Deleted"))
    async for batch in session.mail.fetch(session.account, found.id, uids, Field.NONE):
        total += sum(row.size_bytes for row in batch)
    return total
