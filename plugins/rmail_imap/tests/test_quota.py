"""GETQUOTA, GETQUOTAROOT and what could be freed (RFC 9208)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from rmail_kernel.model import Address
from rmail_kernel.testing import RunningServer, Transcript

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
        S: * QUOTAROOT "nowhere" ""
        S: * QUOTA "" (STORAGE 2 1024)
        S: d OK *
        C: e GETQUOTA
        S: e BAD *
        C: f APPEND INBOX {1048000}
        S: f NO [OVERQUOTA] *
    """)


@pytest.mark.parametrize(
    "rmail_settings", [{"imap": {"disabled_capabilities": ["QUOTA=RES-STORAGE"]}}]
)
async def test_a_resource_that_is_not_offered_is_left_out(client: Transcript) -> None:
    # RFC 9208 3.1.1, 4.2.1
    await client.run("""
        C: a GETQUOTA ""
        S: * QUOTA "" ()
        S: a OK *
    """)


async def test_limits_are_not_for_clients_to_set(client: Transcript) -> None:
    # RFC 9208 4.1.3: QUOTASET is not advertised, so the command is unknown
    lines = await client.run("""
        C: a CAPABILITY
        S: * CAPABILITY *
        S: a OK *
        C: b SETQUOTA "" (STORAGE 10)
        S: b BAD *
    """)
    assert "QUOTASET" not in lines[0]


async def test_what_goes_over_the_quota_is_refused_and_what_does_not_is_not(
    rmail_server: RunningServer, connect: Connect, fill: Fill
) -> None:
    # RFC 9208 4.3.1
    account = await rmail_server.kernel.directory.get(Address("alice", "example.com"))
    assert account is not None
    await rmail_server.kernel.directory.update(account, quota_mb=1)
    await fill([b"Subject: x\r\n\r\n" + b"y" * 600_000, b"Subject: small\r\n\r\n"])
    client = await connect("INBOX")
    await client.run("""
        C: a COPY 1 Archive
        S: a NO [OVERQUOTA] *
        C: b UID COPY 1:2 Archive
        S: b NO [OVERQUOTA] *
        C: c APPEND INBOX {449000}
        S: c NO [OVERQUOTA] *
        C: d REPLACE 2 INBOX {449000}
        S: d NO [OVERQUOTA] *
        C: e STATUS Archive (MESSAGES)
        S: * STATUS "Archive" (MESSAGES 0)
        S: e OK *
        C: f MOVE 1 Archive
        S: * OK [COPYUID *] *
        S: * 1 EXPUNGE
        S: f OK *
        C: g COPY 1 Archive
        S: g OK [COPYUID *] *
        C: h SELECT Archive
    """)
    await client.until("h OK *")
    await client.send(b"i REPLACE 1 Archive {700000+}\r\n" + b"z" * 700_000 + b"\r\n")
    await client.until("i OK *")


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
