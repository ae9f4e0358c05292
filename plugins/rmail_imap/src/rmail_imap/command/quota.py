"""GETQUOTA and GETQUOTAROOT (RFC 9208 4.1). An account is one quota root, named ""."""

from __future__ import annotations

from typing import Final

from rmail_imap import write
from rmail_imap.command.select import mailbox_args
from rmail_imap.commands import command, feature
from rmail_imap.parse.cursor import Cursor
from rmail_imap.session import Session
from rmail_imap.state import State
from rmail_kernel.errors import NotFound

# RFC 9208 5.1: with it STATUS has the item DELETED-STORAGE.
feature("QUOTA=RES-STORAGE", "9208 5.1")
# RFC 9208 5.2: with it STATUS has the item DELETED.
feature("QUOTA=RES-MESSAGE", "9208 5.2")
_UNIT_BYTES: Final = 1024


def root_args(cursor: Cursor) -> bytes:
    """The name of a quota root."""
    cursor.space()
    root = cursor.astring()
    cursor.end()
    return root


@command("GETQUOTA", root_args, state=State.AUTHENTICATED, capability="QUOTA", rfc="9208 4.1.1")
async def get_quota(session: Session, raw_root: bytes) -> None:
    """What the account uses and may use."""
    if raw_root:
        raise NotFound("There is no such quota root")
    await _write_quota(session)


@command(
    "GETQUOTAROOT", mailbox_args, state=State.AUTHENTICATED, capability="QUOTA", rfc="9208 4.1.2"
)
async def get_quota_root(session: Session, name: str) -> None:
    """The quota root of a mailbox, and its quota; also of one that is still to be made (RFC 9208
    4.1.2).
    """
    session.write(b'* QUOTAROOT %b ""\r\n' % write.mailbox(name, is_utf8=session.is_utf8))
    await _write_quota(session)


async def _write_quota(session: Session) -> None:
    """The QUOTA response; a resource without a limit is left out (RFC 9208 4.2.1)."""
    quota = await session.mail.quota(session.account)
    resources: list[bytes] = []
    is_told = "QUOTA=RES-STORAGE" not in session.off
    if quota.limit_bytes is not None and is_told:  # RFC 9208 5.1: in units of 1024 bytes
        used, limit = -(-quota.used_bytes // _UNIT_BYTES), quota.limit_bytes // _UNIT_BYTES
        resources.append(b"STORAGE %d %d" % (used, limit))
    if quota.limit_messages is not None and "QUOTA=RES-MESSAGE" not in session.off:
        resources.append(b"MESSAGE %d %d" % (quota.used_messages, quota.limit_messages))
    session.write(b'* QUOTA "" (%b)\r\n' % b" ".join(resources))
