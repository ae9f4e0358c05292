"""APPEND (RFC 3501 6.3.11) with APPENDUID (RFC 4315 3), of several messages at once (RFC 3502)."""

from __future__ import annotations

import unicodedata

from rmail_imap import write
from rmail_imap.commands import Reply, command, feature
from rmail_imap.errors import Refused
from rmail_imap.parse.append import AppendArgs, append_args
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_imap.uploads import receive
from rmail_kernel.errors import NotFound
from rmail_kernel.storage.mail import Appended, AppendItem

feature("MULTIAPPEND", "3502 6.3.11")


@command("APPEND", append_args, state=State.AUTHENTICATED, streams=True, rfc="3501 6.3.11")
async def append(session: Session, args: AppendArgs) -> Reply:
    """Stores messages, all or none."""
    is_one = "MULTIAPPEND" in session.off
    most = 1 if is_one else session.settings.max_append_messages
    items = await receive(session, args.mailbox, args.message, most=most)
    stored = await store(session, items)
    tell_normal_name(session, args.mailbox)
    return Reply(code=appended_code(session, stored))


async def store(session: Session, items: list[AppendItem]) -> list[Appended]:
    """Stores what was received. Refused [TRYCREATE]: the mailbox is gone."""
    try:
        stored = await session.mail.append(session.account, items)
    except NotFound as error:
        raise Refused("There is no such mailbox", b"TRYCREATE") from error
    claimed = [one.uid for one in stored if one.is_claimed]
    if claimed and session.selected is not None:
        session.selected.recent |= frozenset(claimed)
    return stored


def tell_normal_name(session: Session, name: str) -> None:
    """Tells how the store has a name that the client gave in another form (RFC 9051 6.3.12)."""
    normal = unicodedata.normalize("NFC", name)
    if session.is_rev2 and normal != name:
        more = write.old_name(name, is_utf8=True)
        session.write(write.list_line(b"LIST", (), normal, more, is_utf8=True))


def appended_code(session: Session, stored: list[Appended]) -> bytes:
    """APPENDUID, its UIDs in the order of the messages (RFC 3502, RFC 4315 3)."""
    if "UIDPLUS" in session.off:
        return b""
    uids = write.number_set(one.uid for one in stored)
    return b"APPENDUID %d %b" % (stored[0].uidvalidity, uids)
