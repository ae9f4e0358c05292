"""GETQUOTA, GETQUOTAROOT and what could be freed (RFC 9208)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rmail_kernel.model import Address
from rmail_kernel.testing import RunningServer

if TYPE_CHECKING:
    from plugins.rmail_imap.tests.conftest import Connect, Fill


async def test_what_is_used_and_what_may_be(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    account = await rmail_server.kernel.directory.get(Address("alice", "example.com"))
    assert account is not None
    await rmail_server.kernel.directory.update(account, quota_mb=1)
    await fill([b"Subject: x\r\n\r\n" + b"y" * 1500])
    client = await connect()
    await client.run("""
        C: a GETQUOTAROOT inbox
        S: * QUOTAROOT "INBOX" ""
        S: * QUOTA "" (STORAGE 2 1024)
        S: a OK *
        C: b GETQUOTA ""
        S: * QUOTA "" (STORAGE 2 1024)
        S: b OK *
        C: c GETQUOTA other
        S: c NO [NONEXISTENT] *
        C: d GETQUOTAROOT nowhere
        S: d NO [NONEXISTENT] *
        C: e GETQUOTA
        S: e BAD *
        C: f APPEND INBOX {1048000}
        S: f NO [OVERQUOTA] *
    """)


async def test_status_tells_what_expunge_would_free(connect: Connect, fill: Fill) -> None:
    await fill([b"Subject: x\r\n\r\nfive!", b"Subject: y\r\n\r\n", b"Subject: z\r\n\r\nten"])
    client = await connect("INBOX")
    await client.run("""
        C: a STORE 1:2 +FLAGS.SILENT (\\Deleted)
        S: a OK *
        C: b STATUS INBOX (DELETED-STORAGE MESSAGES)
        S: * STATUS "INBOX" (DELETED-STORAGE 33 MESSAGES 3)
        S: b OK *
        C: c LIST "" (INBOX Sent) RETURN (STATUS (DELETED-STORAGE))
        S: * LIST () "/" "INBOX"
        S: * STATUS "INBOX" (DELETED-STORAGE 33)
        S: * LIST (\\Sent) "/" "Sent"
        S: * STATUS "Sent" (DELETED-STORAGE 0)
        S: c OK *
    """)


async def test_messages_are_counted_where_they_have_a_limit(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    account = await rmail_server.kernel.directory.get(Address("alice", "example.com"))
    assert account is not None
    await rmail_server.kernel.directory.update(account, quota_messages=2)
    await fill(2)
    client = await connect("INBOX")
    await client.run("""
        C: a GETQUOTAROOT INBOX
        S: * QUOTAROOT "INBOX" ""
        S: * QUOTA "" (*MESSAGE 2 2)
        S: a OK *
        C: b APPEND INBOX {100}
        S: b NO [OVERQUOTA] *
        C: c COPY 1 Archive
        S: c NO [OVERQUOTA] *
        C: d STORE 1 +FLAGS.SILENT (\\Deleted)
        S: d OK *
        C: e STATUS INBOX (DELETED MESSAGES)
        S: * STATUS "INBOX" (DELETED 1 MESSAGES 2)
        S: e OK *
    """)
